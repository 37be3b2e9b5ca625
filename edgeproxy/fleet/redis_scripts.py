"""The Lua scripts on the purge log: what must happen in one step, in the eyes of all nodes.

Must not know who runs them. KEYS: id, last, log, applied, seen, nodes, inbox; then keys of receipts.
"""

_ADD = """
local function add(limit, ...)
  local position = redis.call('INCR', KEYS[2])
  local done = redis.pcall('XADD', KEYS[3], 'MAXLEN', '~', limit, string.format('%.0f-0', position), ...)
  if type(done) == 'table' and done.err then
    local top = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)
    local highest = top[1] and tonumber(string.match(top[1][1], '^%d+')) or 0
    if highest < position then
      redis.call('DECR', KEYS[2])
      return done
    end
    position = highest + 1
    redis.call('SET', KEYS[2], string.format('%.0f', position))
    redis.call('XADD', KEYS[3], 'MAXLEN', '~', limit, string.format('%.0f-0', position), ...)
  end
  return position
end
"""
# An entry that somebody wrote into the log by hand has a position far beyond the counter's: go on after it.

JOIN = """
local id = redis.call('GET', KEYS[1])
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
if not id or (id == ARGV[2] and last < tonumber(ARGV[3])) then
  id = ARGV[1]
  last = 0
  redis.call('SET', KEYS[1], id)
  redis.call('DEL', KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6])
end
local first = redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)
return {id, last, first[1] and first[1][1] or ''}
"""
"""ARGV: an identity for a new log; the identity and position followed so far."""

APPEND = (
    _ADD
    + """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
local position = add(ARGV[3], 'p', ARGV[2])
if type(position) == 'table' then return position end
local now = redis.call('TIME')
return {position, string.format('%.0f', now[1] * 1000000 + now[2])}
"""
)
"""ARGV: identity, the entry, how many to keep. Its position and the time in microseconds; -1: no such log."""

TAKE_IN = (
    _ADD
    + """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
local found = redis.call('XRANGE', KEYS[7], '-', '+', 'COUNT', ARGV[3])
for _, entry in ipairs(found) do
  local size = 0
  for _, part in ipairs(entry[2]) do size = size + #part end
  local packed = ''
  if size <= tonumber(ARGV[4]) and #entry[2] <= tonumber(ARGV[5]) then packed = cmsgpack.pack(entry[2]) end
  local position = add(ARGV[2], 'e', packed, 'id', entry[1])
  if type(position) == 'table' then return position end
  redis.call('XDEL', KEYS[7], entry[1])
end
if redis.call('XLEN', KEYS[7]) == 0 then redis.call('DEL', KEYS[7]) end
return {#found, tonumber(redis.call('GET', KEYS[2]) or '0')}
"""
)
"""ARGV: identity, how many to keep, how many to take, bytes and parts that one may have.

An empty inbox is deleted: else an entry with the last id there is would let nobody write another.
"""

BEAT = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
if tonumber(redis.call('GET', KEYS[2]) or '0') < tonumber(ARGV[3]) then return -1 end
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
redis.call('ZADD', KEYS[4], ARGV[3], ARGV[2])
redis.call('ZADD', KEYS[5], string.format('%.6f', now), ARGV[2])
redis.call('HSET', KEYS[6], ARGV[2], ARGV[5])
for _, node in ipairs(redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', string.format('%.6f', now - ARGV[4]))) do
  redis.call('ZREM', KEYS[4], node)
  redis.call('ZREM', KEYS[5], node)
  redis.call('HDEL', KEYS[6], node)
end
for each = 8, #KEYS do
  redis.call('HSET', KEYS[each], ARGV[2], string.format('%.0f', time[1] * 1000000 + time[2]))
  redis.call('PEXPIRE', KEYS[each], 60000)
end
return 0
"""
"""ARGV: identity, node, its position, seconds after which a node is forgotten, what it tells of itself."""

ROLL = """
local told = KEYS[8] and redis.call('HGETALL', KEYS[8]) or {}
local applied = redis.call('ZRANGE', KEYS[4], 0, -1, 'WITHSCORES')
local seen = redis.call('ZRANGE', KEYS[5], 0, -1, 'WITHSCORES')
local time = redis.call('TIME')
return {string.format('%.6f', time[1] + time[2] / 1000000), applied, seen, told}
"""
"""The time in seconds, each node's position and when it was last heard of, and what was said of one purge."""
