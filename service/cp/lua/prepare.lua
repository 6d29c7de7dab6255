-- At the head: promises the next version of a clean key to one write.
-- KEYS key, meta, dirty; ARGV run id, tx, value. n | DIRTY n tx age_ms | UNSETTLED
local t = redis.call('TIME')
local now = string.format('%s%03d', t[1], t[2] / 1000)
-- Each:
local k = redis.call('HMGET', KEYS[1], 's', 'l', 'dn', 'dt')
if k[1] ~= ARGV[1] and redis.call('HGET', KEYS[2], 's') ~= ARGV[1] then return {'UNSETTLED'} end
if k[3] then
  local since = redis.call('ZSCORE', KEYS[3], KEYS[1])
  return {'DIRTY', k[3], k[4], string.format('%.0f', now - (since or now))}
end
local n = (tonumber(k[2]) or 0) + 1
local text = string.format('%d', n)
redis.call('HSET', KEYS[1], 'l', text, 'dn', text, 'dt', ARGV[2], 'dv', ARGV[3])
if k[1] ~= ARGV[1] then redis.call('HSET', KEYS[1], 's', ARGV[1]) end
redis.call('ZADD', KEYS[3], now, KEYS[1])
return n
