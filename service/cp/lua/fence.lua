-- At the tail: says whether version n was committed; if not, 'fence' makes sure that it never will be.
-- KEYS key, meta; ARGV run id, n, look|fence. COMMITTED | FENCED | OPEN | UNSETTLED | EVICTED
local k = redis.call('HMGET', KEYS[1], 's', 'n', 'f')
if not k[1] and (redis.call('INFO', 'stats'):match('evicted_keys:(%d+)') or '0') ~= '0' then return {'EVICTED'} end
if k[1] ~= ARGV[1] and redis.call('HGET', KEYS[2], 's') ~= ARGV[1] then return {'UNSETTLED'} end
local n = tonumber(ARGV[2])
if (tonumber(k[2]) or 0) >= n then return {'COMMITTED'} end
if (tonumber(k[3]) or 0) >= n then return {'FENCED'} end
if ARGV[3] ~= 'fence' then return {'OPEN'} end
redis.call('HSET', KEYS[1], 's', ARGV[1], 'f', ARGV[2])
return {'FENCED'}
