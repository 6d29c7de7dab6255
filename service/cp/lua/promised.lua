-- At the head, when the tail rejoins: settles what is dirty as committed (it may have been acknowledged by the tail
-- before it lost its memory) and tells all that was promised. Once per key and run of the tail.
-- KEYS key, meta, dirty; ARGV run id of the tail. OK n tx value floor
local k = redis.call('HMGET', KEYS[1], 'n', 't', 'v', 'l', 'dn', 'dt', 'dv', 'p')
local n, tx, value, floor = k[1], k[2], k[3], k[4] or '0'
if k[5] and k[8] ~= ARGV[1] then
  n, tx, value = k[5], k[6], k[7]
  redis.call('HSET', KEYS[1], 'n', n, 't', tx, 'v', value)
  redis.call('HDEL', KEYS[1], 'dn', 'dt', 'dv')
  redis.call('ZREM', KEYS[3], KEYS[1])
elseif k[5] then
  floor = string.format('%.0f', tonumber(k[5]) - 1) -- promised since then: it may still be committed
end
redis.call('HSET', KEYS[1], 'p', ARGV[1])
return {'OK', n or '0', tx or '', value or '', floor}
