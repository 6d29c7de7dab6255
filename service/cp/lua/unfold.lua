-- At the head: marks each dirty key of a batch in the place of the batch, unless all of it was ended meanwhile. What has a mark
-- already keeps it.
-- KEYS the set of batches, then a key and its dirty set, and so on; ARGV the mark of the batch. OK
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return {'OK'} end
for i = 2, #KEYS, 2 do
  local k = redis.call('HMGET', KEYS[i], 'dn', 'da')
  if k[1] and k[2] then
    redis.call('ZADD', KEYS[i + 1], k[2], KEYS[i])
    redis.call('HDEL', KEYS[i], 'da')
  end
end
redis.call('ZREM', KEYS[1], ARGV[1])
return {'OK'}
