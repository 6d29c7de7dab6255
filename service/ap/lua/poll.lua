-- What the node says of itself, all of it at one moment: batches become marks of keys, and these batches, and what is missing here
-- is at the peer.
-- KEYS meta, the set of batches, the dirty set of each bucket; ARGV whether marks are counted (1), fields of meta.
-- seconds, microseconds, how many marks there are, the score of the oldest of each set, the fields; empty texts for what is not there
local said, count = redis.call('TIME'), 0
local oldest = {}
for i = 2, #KEYS do
  oldest[i - 1] = redis.call('ZRANGE', KEYS[i], 0, 0, 'WITHSCORES')[2] or ''
  if ARGV[1] == '1' then count = count + redis.call('ZCARD', KEYS[i]) end
end
said[3] = string.format('%.0f', count)
for _, score in ipairs(oldest) do said[#said + 1] = score end
for _, field in ipairs(redis.call('HMGET', KEYS[1], unpack(ARGV, 2))) do said[#said + 1] = field or '' end
return said
