-- At the tail, when it rejoins: takes what the head holds if it is newer (also what is only promised there: it may have
-- been acknowledged before this node lost its memory), and refuses all else that was promised before. Not where it was emptied
-- under the run that the head has named: what it answered may be on the way to the head then. What is no key of ours in its
-- place is as good as lost.
-- KEYS key, meta; ARGV run id, run id of the head, n, tx, value, floor, mark that the head knows.
-- ADOPTED | OK (was settled before) | EMPTIED | EPOCH
local k, foreign = redis.pcall('HMGET', KEYS[1], 's', 'n', 'f'), false
if k.err then
  if not k.err:find('^WRONGTYPE') then return k end
  k, foreign = {false, false, false}, true
end
local m = redis.call('HMGET', KEYS[2], 's', 'e', 'r')
if k[1] == ARGV[1] or m[1] == ARGV[1] then return {'OK'} end
if ARGV[7]:match('^%S+') == ARGV[1] and m[3] ~= ARGV[7] then return {'EMPTIED'} end
if m[2] ~= ARGV[2] then return {'EPOCH'} end
if foreign then redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], 's', ARGV[1])
if tonumber(ARGV[6]) > (tonumber(k[3]) or 0) then redis.call('HSET', KEYS[1], 'f', ARGV[6]) end
if tonumber(ARGV[3]) > (tonumber(k[2]) or 0) then
  redis.call('HSET', KEYS[1], 'n', ARGV[3], 't', ARGV[4], 'v', ARGV[5])
end
return {'ADOPTED'}
