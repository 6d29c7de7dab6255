-- Counts one request against every rate, or against none of them.
-- KEYS[i]     the time, in microseconds, at which the caller's allowance of rate i is whole again
-- ARGV[2i-1]  microseconds that one request costs; ARGV[2i] the window, microseconds
-- Answers 0, or the microseconds to wait.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local wait, whole = 0, {}
for i, key in ipairs(KEYS) do
  local at = math.max(now, tonumber(redis.call('GET', key) or 0)) + tonumber(ARGV[2 * i - 1])
  wait = math.max(wait, at - tonumber(ARGV[2 * i]) - now)
  whole[i] = at
end
-- Half a microsecond is rounding: the cost of a request need not be a whole number.
if wait > 0.5 then
  return math.ceil(wait)
end
for i, key in ipairs(KEYS) do
  redis.call('SET', key, string.format('%.3f', whole[i]), 'PX', math.ceil((whole[i] - now) / 1000) + 1)
end
return 0
