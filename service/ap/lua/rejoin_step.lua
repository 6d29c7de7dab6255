-- Notes the progress of a reconciliation; 0 if it is no longer ours or the node was emptied meanwhile.
-- KEYS: the node's meta. ARGV: the token, keys visited so far.
if redis.call('HGET', KEYS[1], 'rejoin') ~= ARGV[1] then
  return 0
end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'beat', string.format('%.0f', time[1] * 1000000 + time[2]), 'done', ARGV[2])
return 1
