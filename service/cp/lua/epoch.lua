-- At the tail: names the run of the head whose promises are committed from now on. Compare and set on a counter, so
-- that a late call can't bring an older run back.
-- KEYS key (not read), meta; ARGV the count that was seen before the head was found alive, run id of the head. OK | MOVED
local count = redis.call('HGET', KEYS[2], 'c') or '0'
if count ~= ARGV[1] then return {'MOVED'} end
redis.call('HSET', KEYS[2], 'e', ARGV[2], 'c', string.format('%.0f', tonumber(count) + 1))
return {'OK'}
