-- Reads this node's clock, and the registers of the oldest dirty keys of a bucket, as JSON: name, stamp, origin, value of
-- each. An empty text stands for none.
-- KEYS: the bucket's dirty set. ARGV: how many keys, after how many bytes of values to stop, the prefix of registers.
local call = redis.call
local time = call('TIME')
local out, n, bytes, most = {}, 0, 0, tonumber(ARGV[2])
for _, key in ipairs(call('ZRANGE', KEYS[1], 0, tonumber(ARGV[1]) - 1)) do
  local register = ARGV[3] .. key
  local r = call('HMGET', register, 't', 'o', 'v')
  if r[1] then
    out[n + 1], out[n + 2], out[n + 3], out[n + 4] = register, r[1], r[2], r[3]
    n, bytes = n + 4, bytes + #r[3]
    if bytes > most then
      break
    end
  else
    call('ZREM', KEYS[1], key) -- somebody deleted the register by hand
  end
end
return { time[1] * 1000000 + time[2], n > 0 and cjson.encode(out) or '' }
