-- Reads this node's clock, and the oldest dirty keys of a bucket with their registers: key, stamp, origin, value, and so
-- on.
-- KEYS: the bucket's dirty set. ARGV: how many keys, after how many bytes of values to stop, the prefix of registers.
local time = redis.call('TIME')
local out = { string.format('%.0f', time[1] * 1000000 + time[2]) }
local n, bytes, most = 1, 0, tonumber(ARGV[2])
for _, key in ipairs(redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[1]) - 1)) do
  local r = redis.call('HMGET', ARGV[3] .. key, 't', 'o', 'v')
  if r[1] then
    out[n + 1], out[n + 2], out[n + 3], out[n + 4] = key, r[1], r[2], r[3]
    n, bytes = n + 4, bytes + #r[3]
    if bytes > most then
      break
    end
  else
    redis.call('ZREM', KEYS[1], key) -- somebody deleted the register by hand
  end
end
return out
