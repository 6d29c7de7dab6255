-- Declares the node settled; 0 if the reconciliation is no longer ours or the node was emptied meanwhile.
-- KEYS: the node's meta. ARGV: the token, the run id under which it is settled.
if redis.call('HGET', KEYS[1], 'rejoin') ~= ARGV[1] then
  return 0
end
redis.call('HDEL', KEYS[1], 'rejoin', 'beat', 'done', 'total')
redis.call('HSET', KEYS[1], 'settled', ARGV[2])
return 1
