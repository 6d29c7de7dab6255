-- Clears the marks of registers that the peer has, unless they were written again since they were taken: then the
-- oldest write that the peer lacks is younger than the taking.
-- KEYS: for each register, its bucket's dirty set and itself. ARGV: for each, key, stamp, origin, and this node's clock
-- when it was taken.
for i = 1, #KEYS / 2 do
  local dirty, register = KEYS[2 * i - 1], KEYS[2 * i]
  local key, t, o, taken = ARGV[4 * i - 3], ARGV[4 * i - 2], ARGV[4 * i - 1], ARGV[4 * i]
  local stored = redis.call('HMGET', register, 't', 'o')
  if stored[1] == t and stored[2] == o then
    redis.call('ZREM', dirty, key)
  else
    local score = redis.call('ZSCORE', dirty, key)
    if score and tonumber(score) < tonumber(taken) then
      redis.call('ZADD', dirty, taken, key)
    end
  end
end
return 1
