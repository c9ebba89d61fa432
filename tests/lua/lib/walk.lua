--- Random walks through everything that the policies of Lease and Once write, for tests of
--- what must accept it all: the schemas, and a real API server. Each step is a status that
--- a policy made from the one before.
---
--- Run alone it prints one JSON object a line: {"kind", "spec", "status"?, "step"?}; a line
--- without status begins a new object:  luajit tests/lua/lib/walk.lua SEED STEPS

local M = {}

local lease = require "konductor.lease"
local once_change = require "konductor.once_change"
local record = require "konductor.record"

local WALL = "2026-01-01T00:00:00.123456Z"

local function draw(list)
  return list[math.random(#list)]
end

-- A candidate of its own for each write: random holder, session, priority, binding.
local function candidate(rec, version)
  local name = draw { "a", "b", "c", "d" }
  local bound = math.random(4) == 1 and "time" or "process"
  return {
    holder = "pod-" .. name, session = bound == "process" and ("%032x"):format(name:byte()) or "",
    op = ("%s:%d"):format(name, rec.rev), wall = WALL, ttl_ms = draw { 3000, 15000, 600000 }, bound = bound,
    priority = draw { -5, 0, 0, 7 }, queue = true, preempt = math.random(3) == 1, fence = rec.status.fence,
    ran = math.random(2) == 1 and rec.status.fence or nil, version = version, backoff_ms = draw { 0, 500 },
    max_attempts = draw { 1, 3 },
  }
end

-- Half of the time it is the holder who writes: most steps are refused to anybody else.
local function holder_or(rec, me, holder)
  local status = rec.status
  if math.random(2) == 1 and (status[holder] or "") ~= "" then
    me.holder, me.session, me.bound = status[holder], status.session or "", status.bound or "time"
  end
  return me
end

local LEASE_STEPS = {
  acquire = lease.acquire, takeover = lease.takeover, accept = lease.accept, renew = lease.renew,
  release = lease.release, leave = lease.leave,
  -- One-shot commands, which have no session, never stand in the queue.
  join = function(rec, me) return me.session ~= "" and lease.join(rec, me) or nil end,
  request_preempt = lease.request_preempt, withdraw = lease.withdraw,
}

local function view_of(rec)
  return assert(record.once(rec))
end

local ONCE_STEPS = {
  claim = once_change.claim, takeover = once_change.takeover, heartbeat = once_change.heartbeat,
  complete = once_change.complete, reset = once_change.reset,
  fail = function(rec, me)
    return (once_change.fail(rec, me, { exit_code = draw { 1, 137 }, error = ("x"):rep(draw { 3, 400 }) }))
  end,
  release = function(rec, me) return (once_change.release(rec, me, math.random(2) == 1)) end,
  resolve = function(rec, me) return (once_change.resolve(rec, me, math.random(2) == 1)) end,
  abandon = function(rec, me) return view_of(rec).claimed and once_change.abandon(rec, view_of(rec), me) or nil end,
  in_doubt = function(rec, me) return view_of(rec).claimed and once_change.in_doubt(rec, me) or nil end,
}

local KINDS = {
  Lease = {
    steps = LEASE_STEPS, holder = "holder",
    specs = { { ttl = "10s" }, { ttl = "1h30m", priority = 3, preempt = true, queueMax = 2 } },
  },
  Once = {
    steps = ONCE_STEPS, holder = "executor",
    specs = { {}, { ttl = "24h", version = "1.0" }, { mode = "AtMostOnce" }, { maxAttempts = 2, backoff = "500ms" } },
  },
}

local function names_of(steps)
  local names = {}
  for name in pairs(steps) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

-- The step that was taken least, tried half of the time: what is seldom possible is done when it is.
local function next_step(names, taken)
  local rarest = names[1]
  for _, name in ipairs(names) do
    rarest = taken[name] < taken[rarest] and name or rarest
  end
  return math.random(2) == 1 and rarest or draw(names)
end

--- Walks `steps` steps from a fresh object.
---@param kind "Lease"|"Once"
---@param spec table
---@param steps integer
---@param take fun(step: string, status: table)
function M.walk(kind, spec, steps, take)
  local of = KINDS[kind]
  local rec = { kind = kind, name = "x", uid = "u", rev = 10, generation = 1, age_ms = 0, spec = spec, status = {} }
  local names, done, taken = names_of(of.steps), 0, {}
  for _, name in ipairs(names) do
    taken[name] = 0
  end
  while done < steps do
    local name = next_step(names, taken)
    local me = holder_or(rec, candidate(rec, kind == "Once" and "v" .. math.random(60) or nil), of.holder)
    local status = of.steps[name](rec, me)
    if status then
      done, taken[name] = done + 1, taken[name] + 1
      take(name, status)
      rec.rev, rec.status = rec.rev + 1, status
    end
  end
end

--- Walks through every kind and spec.
---@param seed integer
---@param steps integer  of each walk
---@param begin fun(kind: string, spec: table)
---@param take fun(step: string, status: table)
function M.all(seed, steps, begin, take)
  math.randomseed(seed)
  for _, kind in ipairs { "Lease", "Once" } do
    for _, spec in ipairs(KINDS[kind].specs) do
      begin(kind, spec)
      M.walk(kind, spec, steps, take)
    end
  end
end

--- Names of all steps of a kind.
---@param kind "Lease"|"Once"
---@return string[]
function M.steps(kind)
  return names_of(KINDS[kind].steps)
end

-- The texts of a walk need no escapes.
local function json(value)
  if type(value) == "string" then
    return '"' .. value .. '"'
  elseif type(value) ~= "table" then
    return tostring(value)
  end
  local out = {}
  if value[1] ~= nil then
    for i, each in ipairs(value) do
      out[i] = json(each)
    end
    return "[" .. table.concat(out, ",") .. "]"
  end
  for key, each in pairs(value) do
    out[#out + 1] = json(key) .. ":" .. json(each)
  end
  return "{" .. table.concat(out, ",") .. "}"
end

if arg and arg[0] and arg[0]:find "walk%.lua$" then
  M.all(tonumber(arg[1]), tonumber(arg[2]), function(kind, spec)
    print(json { kind = kind, spec = spec })
  end, function(step, status)
    print(json { step = step, status = status })
  end)
end

return M
