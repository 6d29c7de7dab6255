-- At the node whose run is named: it runs, for what asks through a connection bound to one run learns that this run does. The
-- mark of a run is made when it is first named; to lack it, or to have another, is to have been emptied since.
-- KEYS key (not read), meta; ARGV run id, token. OK mark
local mark = redis.call('HGET', KEYS[2], 'r')
if not mark or mark:match('^%S+') ~= ARGV[1] then
  mark = ARGV[1] .. ' ' .. ARGV[2]
  redis.call('HSET', KEYS[2], 'r', mark)
end
return {'OK', mark}
