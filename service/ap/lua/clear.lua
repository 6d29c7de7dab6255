-- Clears the marks of registers that the peer has, unless they were written again since they were taken: then the
-- oldest write that the peer lacks is younger than the taking. A register with the same stamp is the same one: no write
-- takes the place of another with its stamp (write.lua), and what a merge puts there the peer has.
-- KEYS: the dirty set of their bucket. ARGV: this node's clock when they were taken, and the registers, as JSON: name,
-- stamp, and an origin and a value that do not count.
local call = redis.call
local dirty, taken, x = KEYS[1], ARGV[1], cjson.decode(ARGV[2])
local carried = {}
for i = 1, #x, 4 do
  local register = x[i]
  local key = register:sub(#dirty + 2) -- ap:{7}k:KEY has its marks in ap:{7}d
  if call('HGET', register, 't') == x[i + 1] then
    carried[#carried + 1] = key
  else
    local score = call('ZSCORE', dirty, key)
    if score and tonumber(score) < tonumber(taken) then
      call('ZADD', dirty, taken, key)
    end
  end
end
if #carried > 0 then
  call('ZREM', dirty, unpack(carried))
end
return 1
