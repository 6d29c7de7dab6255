-- Applies a write under the stamp that the instance gave it, and marks the key dirty for the peer.
-- KEYS: the register, the bucket's dirty set. ARGV: value, stamp, origin, the instance's clock less the allowed skew, and
-- the same with it added (all times in microseconds), the user's key. Gives this node's clock where the write was taken;
-- else a list: "ahead" and this node's clock, "future" or "newer" and the stored stamp.
-- The stamp is never raised here: a command that arrives after its caller has given up must not become newer than
-- what was written since. Times are compared as text, the longer one being the later: to make numbers of them costs as much
-- as to store the write.
local time = redis.call('TIME')
local here = string.format('%s%06d', time[1], time[2])
local stamp, earliest, latest = ARGV[2], ARGV[4], ARGV[5]
if #earliest > #here or #earliest == #here and earliest > here then
  return { 'ahead', here }
end
local t = redis.call('HGET', KEYS[1], 't')
if t then
  if #t > #latest or #t == #latest and t > latest then
    return { 'future', t }
  end
  if #t > #stamp or #t == #stamp and (t > stamp or t == stamp and tonumber(redis.call('HGET', KEYS[1], 'o')) >= tonumber(ARGV[3])) then
    return { 'newer', t }
  end
end
-- The mark first: a write without its mark would never reach the peer.
redis.call('ZADD', KEYS[2], 'NX', here, ARGV[6])
redis.call('HSET', KEYS[1], 't', stamp, 'o', ARGV[3], 'v', ARGV[1])
return time[1] * 1000000 + time[2]
