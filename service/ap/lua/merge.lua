-- Last writer wins: takes over each register that is newer than what is here. Says how many were.
-- KEYS: registers. ARGV: stamp, origin, value for each. Stamps are compared as in write.lua.
local call = redis.call
local taken = 0
for i, key in ipairs(KEYS) do
  local t, o = ARGV[3 * i - 2], ARGV[3 * i - 1]
  local st = call('HGET', key, 't')
  if not st or #st < #t or #st == #t and (st < t or st == t and tonumber(call('HGET', key, 'o')) < tonumber(o)) then
    call('HSET', key, 't', t, 'o', o, 'v', ARGV[3 * i])
    taken = taken + 1
  end
end
return taken
