-- At the tail: decides a write. The only place where one is.
-- KEYS key, meta; ARGV run id, n, tx, value, run id of the head that promised n. 0 (done) | FENCED | OVERTAKEN | EPOCH | UNSETTLED | EVICTED
local evicted
-- Each:
local k = redis.call('HMGET', KEYS[1], 's', 'n', 'f')
if not k[1] then
  evicted = evicted or redis.call('INFO', 'stats'):match('evicted_keys:(%d+)') or '0'
  if evicted ~= '0' then return {'EVICTED'} end
end
if k[1] ~= ARGV[1] and redis.call('HGET', KEYS[2], 's') ~= ARGV[1] then return {'UNSETTLED'} end
if k[2] == ARGV[2] and redis.call('HGET', KEYS[1], 't') == ARGV[3] then return 0 end
if redis.call('HGET', KEYS[2], 'e') ~= ARGV[5] then return {'EPOCH'} end
local n = tonumber(ARGV[2])
if n <= (tonumber(k[2]) or 0) then return {'OVERTAKEN'} end
if n <= (tonumber(k[3]) or 0) then return {'FENCED'} end
redis.call('HSET', KEYS[1], 'n', ARGV[2], 't', ARGV[3], 'v', ARGV[4])
if k[1] ~= ARGV[1] then redis.call('HSET', KEYS[1], 's', ARGV[1]) end
return 0
