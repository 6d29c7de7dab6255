-- At the head: ends a promise. 'finish' makes its value the value, 'drop' forgets it. Another write's promise stays.
-- KEYS key, meta, dirty; ARGV run id, n, tx, finish|drop. OK | GONE | UNSETTLED
local k = redis.call('HMGET', KEYS[1], 's', 'dn', 'dt', 'dv')
if k[1] ~= ARGV[1] and redis.call('HGET', KEYS[2], 's') ~= ARGV[1] then return {'UNSETTLED'} end
if k[2] ~= ARGV[2] or k[3] ~= ARGV[3] then return {'GONE'} end
if ARGV[4] == 'finish' then redis.call('HSET', KEYS[1], 'n', k[2], 't', k[3], 'v', k[4]) end
redis.call('HDEL', KEYS[1], 'dn', 'dt', 'dv')
redis.call('ZREM', KEYS[3], KEYS[1])
return {'OK'}
