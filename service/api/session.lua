-- Notes the version that a session has written of a key, if what is there is what the caller thinks.
-- KEYS[1]  the session, a hash: field = hash of a key, value = version; the field "dropped" if a write did not fit
-- ARGV     field, expected version ("" for none), version, time to live in milliseconds, largest number of fields
-- Answers the version that was there: the expected one if the write is noted.
local there = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if there ~= ARGV[2] then
  return there
end
if there == '' and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[5]) then
  redis.call('HSET', KEYS[1], 'dropped', '1')
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return there
