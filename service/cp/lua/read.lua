-- At either node: the value of a key, unless it is not to be believed here or a write is in flight (head only).
-- What is missing where keys are evicted may have been written.
-- KEYS key, meta; ARGV run id. OK n value | NONE | DIRTY | UNSETTLED | EVICTED
local k = redis.call('HMGET', KEYS[1], 's', 'n', 'v', 'dn')
if not k[1] and (redis.call('INFO', 'stats'):match('evicted_keys:(%d+)') or '0') ~= '0' then return {'EVICTED'} end
if k[1] ~= ARGV[1] and redis.call('HGET', KEYS[2], 's') ~= ARGV[1] then return {'UNSETTLED'} end
if k[4] then return {'DIRTY'} end
if not k[2] then return {'NONE'} end
return {'OK', k[2], k[3]}
