-- At the head: promises the next version of a clean key to one write. All promises of a round trip have one mark, or each its own.
-- KEYS key, meta, dirty; ARGV run id, tx, value; COMMON the set of batches; ALL the mark of the batch, or an empty text.
-- n | DIRTY n tx age_ms | UNSETTLED | EVICTED
local t = redis.call('TIME')
local now = string.format('%s%03d', t[1], t[2] / 1000)
local marked, evicted = false, nil
-- Each:
local k = redis.call('HMGET', KEYS[1], 's', 'l', 'dn')
if not k[1] then
  evicted = evicted or redis.call('INFO', 'stats'):match('evicted_keys:(%d+)') or '0'
  if evicted ~= '0' then return {'EVICTED'} end
end
if k[1] ~= ARGV[1] and redis.call('HGET', KEYS[2], 's') ~= ARGV[1] then return {'UNSETTLED'} end
if k[3] then
  local by = redis.call('HMGET', KEYS[1], 'dt', 'da')
  local since = by[2] or redis.call('ZSCORE', KEYS[3], KEYS[1])
  return {'DIRTY', k[3], by[1], string.format('%.0f', now - (since or now))}
end
local n = (tonumber(k[2]) or 0) + 1
local text = string.format('%d', n)
-- The mark first: nobody would look for a promise without one.
if ALL[1] == '' then
  redis.call('ZADD', KEYS[3], now, KEYS[1])
  redis.call('HSET', KEYS[1], 'l', text, 'dn', text, 'dt', ARGV[2], 'dv', ARGV[3])
else
  if not marked then redis.call('ZADD', COMMON[1], now, ALL[1]) end
  marked = true
  redis.call('HSET', KEYS[1], 'l', text, 'dn', text, 'dt', ARGV[2], 'dv', ARGV[3], 'da', now)
end
if k[1] ~= ARGV[1] then redis.call('HSET', KEYS[1], 's', ARGV[1]) end
return n
