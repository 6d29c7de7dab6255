-- At the head, when it rejoins: takes the tail's value; nothing is dirty, and no version is promised twice. Not where it was
-- emptied under the run that the tail has named: what it promised may be on the way to the tail then. What is no key of
-- ours in its place is as good as lost.
-- KEYS key, meta, dirty; ARGV run id, n, tx, value, floor, mark that the tail knows. OK | EMPTIED
local k, foreign = redis.pcall('HMGET', KEYS[1], 's', 'l'), false
if k.err then
  if not k.err:find('^WRONGTYPE') then return k end
  k, foreign = {false, false}, true
end
if k[1] == ARGV[1] or redis.call('HGET', KEYS[2], 's') == ARGV[1] then return {'OK'} end
if ARGV[6]:match('^%S+') == ARGV[1] and redis.call('HGET', KEYS[2], 'r') ~= ARGV[6] then return {'EMPTIED'} end
if foreign then redis.call('DEL', KEYS[1]) end
local last = math.max(tonumber(k[2]) or 0, tonumber(ARGV[2]), tonumber(ARGV[5]))
redis.call('HSET', KEYS[1], 's', ARGV[1], 'l', string.format('%.0f', last))
if ARGV[2] ~= '0' then
  redis.call('HSET', KEYS[1], 'n', ARGV[2], 't', ARGV[3], 'v', ARGV[4])
else
  redis.call('HDEL', KEYS[1], 'n', 't', 'v')
end
redis.call('HDEL', KEYS[1], 'dn', 'dt', 'dv', 'p', 'da')
redis.call('ZREM', KEYS[3], KEYS[1])
return {'OK'}
