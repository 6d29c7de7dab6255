-- Reads the oldest dirty keys of a bucket with their registers, and this node's clock.
-- KEYS: the bucket's dirty set. ARGV: how many keys, after how many bytes of values to stop, the prefix of registers.
local time = redis.call('TIME')
local out = { string.format('%.0f', time[1] * 1000000 + time[2]) }
local bytes = 0
for _, key in ipairs(redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[1]) - 1)) do
  local r = redis.call('HMGET', ARGV[3] .. key, 't', 'o', 'v')
  if r[1] then
    out[#out + 1] = { key, r[1], r[2], r[3] }
    bytes = bytes + #r[3]
    if bytes > tonumber(ARGV[2]) then
      break
    end
  else
    redis.call('ZREM', KEYS[1], key) -- somebody deleted the register by hand
  end
end
return out
