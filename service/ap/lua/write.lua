-- Applies writes under the stamps that their instance gave them, and marks for the peer what it lacks now: all of them with
-- one mark, or the key of each.
-- KEYS: the register, the set of batches or the bucket's dirty set. ARGV: value, stamp, the user's key. ALL: the origin of the
-- stamps, the instance's clock less the allowed skew, and the same with it added (all times in microseconds), the mark of the
-- batch or an empty text. Gives 1 where the write was taken; else a list: "ahead" and this node's clock, "future" or "newer" and
-- the stored stamp.
-- The stamp is never raised here: a command that arrives after its caller has given up must not become newer than
-- what was written since. Nor does a write take the place of another with its stamp, which may be the one that the
-- peer keeps. Times are compared as text, the longer one being the later: to make numbers of them costs as much as to store the
-- write.
local time = redis.call('TIME')
local here = string.format('%s%06d', time[1], time[2])
local origin, earliest, latest, batch = ALL[1], ALL[2], ALL[3], ALL[4]
local marked = false
local ahead = #earliest > #here or #earliest == #here and earliest > here
-- Each:
if ahead then
  return { 'ahead', here }
end
local stamp = ARGV[2]
local t = redis.call('HGET', KEYS[1], 't')
if t then
  if #t > #latest or #t == #latest and t > latest then
    return { 'future', t }
  end
  if #t > #stamp or #t == #stamp and t >= stamp then
    return { 'newer', t }
  end
end
-- The mark first: a write without its mark would never reach the peer.
if batch == '' then
  redis.call('ZADD', KEYS[2], 'NX', here, ARGV[3])
elseif not marked then
  redis.call('ZADD', KEYS[2], here, batch)
  marked = true
end
redis.call('HSET', KEYS[1], 't', stamp, 'o', origin, 'v', ARGV[1])
return 1
