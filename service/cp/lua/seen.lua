-- At either node: which run of its peer is named, and how many have been.
-- KEYS key (not read), meta; ARGV none. OK run_id count
local m = redis.call('HMGET', KEYS[2], 'e', 'c')
return {'OK', m[1] or '', m[2] or '0'}
