-- Last writer wins: takes over each register that is newer than what is here. Says how many were.
-- KEYS: any key of their slot. ARGV: the registers, as JSON: name, stamp, origin, value of each. Stamps are compared as in
-- write.lua.
local call = redis.call
local taken, x = 0, cjson.decode(ARGV[1])
for i = 1, #x, 4 do
  local register, t, o = x[i], x[i + 1], x[i + 2]
  local stored = redis.pcall('HGET', register, 't')
  if type(stored) == 'table' then
    if not stored.err:find('^WRONGTYPE') then
      return stored
    end
    call('DEL', register) -- somebody put something else in its place by hand
    stored = false
  end
  if not stored or #stored < #t or #stored == #t and (stored < t or stored == t and tonumber(call('HGET', register, 'o')) < tonumber(o)) then
    call('HSET', register, 't', t, 'o', o, 'v', x[i + 3])
    taken = taken + 1
  end
end
return taken
