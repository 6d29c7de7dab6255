-- Applies a write under the stamp that the instance gave it, and marks the key dirty for the peer.
-- KEYS: the register, the bucket's dirty set. ARGV: value, stamp, origin, the instance's clock, the allowed skew (all
-- times in microseconds), the user's key. Gives what became of it, and with "written" this node's clock.
-- The stamp is never raised here: a command that arrives after its caller has given up must not become newer than
-- what was written since.
local time = redis.call('TIME')
local here = time[1] * 1000000 + time[2]
local at, origin = tonumber(ARGV[2]), tonumber(ARGV[3])
local now, skew = tonumber(ARGV[4]), tonumber(ARGV[5])
if now > here + skew then
  return { 'ahead', string.format('%.0f', now - here) }
end
local stored = redis.call('HMGET', KEYS[1], 't', 'o')
if stored[1] then
  local t, o = tonumber(stored[1]), tonumber(stored[2])
  if t > now + skew then
    return { 'future', string.format('%.0f', t - now) }
  end
  if t > at or (t == at and o >= origin) then
    return { 'newer', stored[1] }
  end
end
-- The mark first: a write without its mark would never reach the peer.
redis.call('ZADD', KEYS[2], 'NX', string.format('%.0f', here), ARGV[6])
redis.call('HSET', KEYS[1], 't', ARGV[2], 'o', ARGV[3], 'v', ARGV[1])
return { 'written', string.format('%.0f', here) }
