-- Last writer wins: takes over each register that is newer than what is here. Says how many were.
-- KEYS: registers. ARGV: stamp, origin, value for each.
local taken = 0
for i, key in ipairs(KEYS) do
  local t, o, v = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
  local stored = redis.call('HMGET', key, 't', 'o')
  local st, so = tonumber(stored[1] or -1), tonumber(stored[2] or -1)
  if st < tonumber(t) or (st == tonumber(t) and so < tonumber(o)) then
    redis.call('HSET', key, 't', t, 'o', o, 'v', v)
    taken = taken + 1
  end
end
return taken
