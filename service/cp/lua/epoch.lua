-- At either node: names the run of its peer that it works with from now on, and the mark of that run: the tail commits what
-- that run of the head promised, the head tells its promises to that run of the tail. Compare and set on a counter, so that
-- a late call can't bring an older run back.
-- KEYS key (not read), meta; ARGV the count that was seen before the peer was found alive, run id of the peer, its mark.
-- OK | MOVED
local count = redis.call('HGET', KEYS[2], 'c') or '0'
if count ~= ARGV[1] then return {'MOVED'} end
redis.call('HSET', KEYS[2], 'e', ARGV[2], 'g', ARGV[3], 'c', string.format('%.0f', tonumber(count) + 1))
return {'OK'}
