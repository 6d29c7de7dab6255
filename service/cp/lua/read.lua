-- At either node: the value of a key, unless it is not to be believed here or a write is in flight (head only).
-- KEYS key, meta; ARGV run id. OK n value | NONE | DIRTY | UNSETTLED
local k = redis.call('HMGET', KEYS[1], 's', 'n', 'v', 'dn')
if k[1] ~= ARGV[1] and redis.call('HGET', KEYS[2], 's') ~= ARGV[1] then return {'UNSETTLED'} end
if k[4] then return {'DIRTY'} end
if not k[2] then return {'NONE'} end
return {'OK', k[2], k[3]}
