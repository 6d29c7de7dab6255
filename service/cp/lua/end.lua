-- At the head: ends a promise. 'finish' makes its value the value: it was committed. 'forget' gives up what the tail has
-- fenced, 'drop' what was never sent there. Another write's promise stays; and so does one that a rejoining tail may
-- be taking as committed: 'drop' wants it untouched, 'forget' wants that the last to ask was bound to the same tail.
-- The mark of its batch is not this one's to take away; a mark of its own is.
-- KEYS key, meta, dirty; ARGV run id, n, tx, finish|forget|drop, run id of the tail. 0 (done) | GONE | TAKEN | UNSETTLED
local k = redis.call('HMGET', KEYS[1], 's', 'dn', 'dt', 'dv', 'p', 'da')
if k[1] ~= ARGV[1] and redis.call('HGET', KEYS[2], 's') ~= ARGV[1] then return {'UNSETTLED'} end
if k[2] ~= ARGV[2] or k[3] ~= ARGV[3] then return {'GONE'} end
if ARGV[4] == 'drop' and k[5] then return {'TAKEN'} end
if ARGV[4] == 'forget' and k[5] ~= ARGV[5] then return {'TAKEN'} end
if ARGV[4] == 'finish' then redis.call('HSET', KEYS[1], 'n', k[2], 't', k[3], 'v', k[4]) end
redis.call('HDEL', KEYS[1], 'dn', 'dt', 'dv', 'da')
if k[5] then redis.call('HDEL', KEYS[1], 'p') end
if not k[6] then redis.call('ZREM', KEYS[3], KEYS[1]) end
return 0
