-- Last writer wins: takes over each register that is newer than what is here. Says how many were.
-- KEYS: registers. ARGV: stamp, origin, value for each. Stamps are compared as in write.lua.
local taken = 0
for i, key in ipairs(KEYS) do
  local t, o = ARGV[3 * i - 2], ARGV[3 * i - 1]
  local stored = redis.call('HMGET', key, 't', 'o')
  local st = stored[1]
  if not st or #st < #t or #st == #t and (st < t or st == t and tonumber(stored[2]) < tonumber(o)) then
    redis.call('HSET', key, 't', t, 'o', o, 'v', ARGV[3 * i])
    taken = taken + 1
  end
end
return taken
