-- At the head: tells what is promised and what is settled of a key, to a tail that rejoins or to a resolver. From now on
-- only who is bound to that run of the tail may give the promise up: it may be taken as committed there.
-- KEYS key, meta, dirty; ARGV run id of the tail. OK n tx value floor dirty|clean mark | EPOCH | EVICTED
local m = redis.call('HMGET', KEYS[2], 'e', 'g')
if m[1] ~= ARGV[1] then return {'EPOCH'} end
local k = redis.call('HMGET', KEYS[1], 'n', 't', 'v', 'l', 'dn', 'dt', 'dv', 's')
if not k[8] and (redis.call('INFO', 'stats'):match('evicted_keys:(%d+)') or '0') ~= '0' then return {'EVICTED'} end
if k[5] then
  redis.call('HSET', KEYS[1], 'p', ARGV[1])
  return {'OK', k[5], k[6], k[7], k[4], 'dirty', m[2] or ''}
end
return {'OK', k[1] or '0', k[2] or '', k[3] or '', k[4] or '0', 'clean', m[2] or ''}
