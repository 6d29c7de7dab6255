-- Notes, in the node itself, up to when it is known to hold all that its peer acknowledged: a copy of the node that
-- comes back one day tells by it how old it is.
-- KEYS: the node's meta. ARGV: run id under which the node must be settled, the instant by this node's clock.
if redis.call('HGET', KEYS[1], 'settled') ~= ARGV[1] then
  return 0
end
if tonumber(redis.call('HGET', KEYS[1], 'asof') or 0) < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], 'asof', ARGV[2])
end
return 1
