-- At the tail, when the head rejoins: what is decided of a key, once no promise of an older head can be committed.
-- KEYS key, meta; ARGV run id, run id of the head. OK n tx value floor mark | EPOCH | UNSETTLED | EVICTED
local k = redis.call('HMGET', KEYS[1], 's', 'n', 't', 'v', 'f')
if not k[1] and (redis.call('INFO', 'stats'):match('evicted_keys:(%d+)') or '0') ~= '0' then return {'EVICTED'} end
local m = redis.call('HMGET', KEYS[2], 's', 'e', 'g')
if k[1] ~= ARGV[1] and m[1] ~= ARGV[1] then return {'UNSETTLED'} end
if m[2] ~= ARGV[2] then return {'EPOCH'} end
return {'OK', k[2] or '0', k[3] or '', k[4] or '', k[5] or '0', m[3] or ''}
