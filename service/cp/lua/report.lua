-- Notes how far a sweep of this node has come, and renews its lease; 0 if the sweep is no longer ours or the node was
-- emptied meanwhile. KEYS the lease; ARGV our token, done and total, for how many milliseconds
local held = redis.call('GET', KEYS[1])
if not held or held:match('^%S+') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], 'PX', ARGV[3])
return 1
