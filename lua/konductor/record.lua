--- Reading and copying what a store holds. Pure.
---
--- Another program, an older or a newer konductor or a person with an editor may have
--- written anything. lease() and once() give one checked view with every field in
--- place, or say what is wrong; nothing else of this library looks into a raw status
--- before that. Writers copy the raw status, so that fields they do not know survive.
---
--- Tables inside a status are never changed in place: a new status may share them with
--- the old one.

local duration = require "konductor.duration"
local text = require "konductor.text"

local floor = math.floor

local M = {}

M.MAX_INTEGER = 2 ^ 53
M.QUEUE_MAX = 32
M.HISTORY_MAX = 32

local EMPTY = {}

-- Readers -----------------------------------------------------------------------------

-- Every reader raises a sentence; view() turns it into the third value.
local function wrong(path, expected, value)
  local shown = type(value) == "string" and text.quote(value) or type(value) == "table" and "a table" or tostring(value)
  error({ sentence = ("%s is %s; %s is expected"):format(path, shown, expected) }, 0)
end

local function string_at(t, key, path, default)
  local value = t[key]
  if value == nil then
    return default
  elseif type(value) ~= "string" then
    wrong(path .. key, "a string", value)
  end
  return value
end

local function boolean_at(t, key, path, default)
  local value = t[key]
  if value == nil then
    return default
  elseif type(value) ~= "boolean" then
    wrong(path .. key, "true or false", value)
  end
  return value
end

local function integer_at(t, key, path, default, low)
  local value = t[key]
  if value == nil then
    return default
  elseif type(value) ~= "number" or value ~= floor(value) or value < low or value > M.MAX_INTEGER then
    wrong(path .. key, ("a whole number from %d on"):format(low), value)
  end
  return value
end

local function duration_at(t, key, path, default)
  local value = t[key]
  if value == nil then
    return default
  end
  local ms = duration.parse(value)
  if not ms then
    wrong(path .. key, "a duration", value)
  end
  return ms
end

local function word_at(t, key, path, default, words)
  local value = t[key]
  if value == nil then
    return default
  end
  for _, word in ipairs(words) do
    if value == word then
      return value
    end
  end
  wrong(path .. key, table.concat(words, " or "), value)
end

local function table_at(t, key, path)
  local value = t[key]
  if value == nil then
    return EMPTY
  elseif type(value) ~= "table" then
    wrong(path .. key, "a table", value)
  end
  return value
end

-- A list without holes whose entries are tables.
local function list_at(t, key, path)
  local list = table_at(t, key, path)
  local n = 0
  for _ in pairs(list) do
    n = n + 1
  end
  if n ~= #list then
    wrong(path .. key, "a list", list)
  end
  for i = 1, n do
    if type(list[i]) ~= "table" then
      wrong(("%s%s[%d]"):format(path, key, i), "a table", list[i])
    end
  end
  return list
end

local BOUND = { "process", "time" }

-- What a Lease and a claim have in common. Without `bound`, a hold of a session is bound
-- to its process and any other to time, as a person with an editor would make it.
local function claim_into(view, status)
  view.session = string_at(status, "session", "status.", "")
  view.bound = word_at(status, "bound", "status.", view.session ~= "" and "process" or "time", BOUND)
  view.fence = integer_at(status, "fence", "status.", 0, 0)
  if view.fence == M.MAX_INTEGER then
    wrong("status.fence", "a number that a larger one can follow", status.fence)
  end
  view.ttl_ms = integer_at(status, "ttlMs", "status.", nil, 1)
  view.renewals = integer_at(status, "renewals", "status.", 0, 0)
  view.op = string_at(status, "op", "status.", "")
  list_at(status, "conditions", "status.")
end

local function is_whole(value)
  return type(value) == "number" and value == floor(value) and math.abs(value) <= M.MAX_INTEGER
end

local function is_waiter(entry)
  return type(entry) == "table" and type(entry.session) == "string" and entry.session ~= ""
    and type(entry.id) == "string" and entry.id ~= "" and is_whole(entry.prio)
end

--- The queue as far as it can be read. What is no waiter is passed over: a queue says who comes first and nothing of who
--- holds, so without an entry somebody joins again, and by refusing it nobody would ever take over. Nor is one who stands
--- there already, or who holds: it would get the hold from itself.
---@param status table
---@return konductor.Waiter[] waiters  that of the status itself where all is well
---@return boolean is_garbled
function M.waiters(status)
  local list = status.waiters
  if list == nil then
    return EMPTY, false
  elseif type(list) ~= "table" then
    return EMPTY, true
  end
  local good, count, last, known = {}, 0, table.maxn(list), { [status.session or ""] = true }
  for i = 1, last do
    local entry = list[i]
    if is_waiter(entry) and not known[entry.session] then
      good[#good + 1], known[entry.session] = entry, true
    end
  end
  for _ in pairs(list) do
    count = count + 1
  end
  if count == #good and last == count then
    return list, false
  end
  return good, true
end

local function view(rec, read)
  if type(rec) ~= "table" or type(rec.rev) ~= "number" then
    return nil, "corrupt", "the record has no revision"
  elseif rec.damage then
    return nil, "corrupt", rec.damage
  end
  local spec, status = rec.spec or EMPTY, rec.status or EMPTY
  if type(spec) ~= "table" or type(status) ~= "table" then
    return nil, "corrupt", ("%s %s: spec or status is not a table"):format(rec.kind, rec.name)
  end
  local ok, result = pcall(read, spec, status)
  if ok then
    result.rev = rec.rev
    result.age_ms = rec.age_ms
    return result
  elseif type(result) == "table" then
    return nil, "corrupt", ("%s %s: %s"):format(rec.kind, rec.name, result.sentence)
  end
  error(result, 0)
end

---@class konductor.LeaseView
---@field rev integer
---@field age_ms integer?
---@field spec {ttl_ms: integer?, prio: integer, renewable: boolean, preempt: boolean, queue_max: integer}
---@field holder string     "" when free
---@field session string
---@field bound "process"|"time"
---@field fence integer
---@field ttl_ms integer    of the hold; the spec's where the status has none
---@field op string
---@field renewals integer
---@field accepted boolean  false between the grant of a hand-over and its acceptance
---@field prio integer      of the holder
---@field waiters konductor.Waiter[]
---@field is_garbled boolean  something in the queue is no waiter, and passed over
---@field preempt {session: string, prio: integer}?
---@field foreign boolean   held by a program that knows no queue and no fence

local function read_lease(spec, status)
  local v = {
    spec = {
      ttl_ms = duration_at(spec, "ttl", "spec."),
      prio = integer_at(spec, "priority", "spec.", 0, -M.MAX_INTEGER),
      renewable = boolean_at(spec, "renewable", "spec.", true),
      preempt = boolean_at(spec, "preempt", "spec.", false),
      queue_max = integer_at(spec, "queueMax", "spec.", M.QUEUE_MAX, 0),
    },
    holder = string_at(status, "holder", "status.", ""),
    accepted = boolean_at(status, "accepted", "status.", true),
    foreign = boolean_at(status, "foreign", "status.", false),
  }
  v.waiters, v.is_garbled = M.waiters(status)
  claim_into(v, status)
  v.prio = integer_at(status, "prio", "status.", v.spec.prio, -M.MAX_INTEGER)
  v.ttl_ms = v.ttl_ms or v.spec.ttl_ms
  if v.holder ~= "" and (not v.ttl_ms or v.ttl_ms < 1) then
    wrong("status.ttlMs", "the time to live of the hold", status.ttlMs)
  end
  local request = table_at(status, "preempt", "status.")
  if request ~= EMPTY then
    v.preempt = {
      session = string_at(request, "session", "status.preempt.", ""),
      prio = integer_at(request, "prio", "status.preempt.", 0, -M.MAX_INTEGER),
    }
  end
  return v
end

--- The checked view of a Lease.
---@param rec konductor.Record
---@return konductor.LeaseView? view
---@return string? code      "corrupt"
---@return string? sentence
function M.lease(rec)
  return view(rec, read_lease)
end

---@class konductor.TriedVersion
---@field version string
---@field attempts integer
---@field exitCode integer?
---@field lastError string?

---@class konductor.OnceView
---@field rev integer
---@field age_ms integer?
---@field spec {keep_ms: integer?, version: string?, mode: string, max_attempts: integer?, backoff_ms: integer}
---@field executed boolean
---@field claimed boolean   somebody has the claim, alive or not
---@field executor string   who has the claim, or who executed
---@field executed_at string?
---@field version string    the version claimed last
---@field history {version: string, executor: string?, executedAt: string?}[]
---@field tried konductor.TriedVersion[]  versions that were begun, not done, and left for another
---@field session string
---@field bound "process"|"time"
---@field fence integer
---@field ttl_ms integer?
---@field op string
---@field renewals integer
---@field attempts integer  runs of this version that were begun
---@field backoff_ms integer
---@field exit_code integer?
---@field last_error string?
---@field doubt boolean     at-most-once work whose executor is gone
---@field gone? boolean     koncli: the executor is known to be gone, whatever the record says

M.AT_LEAST_ONCE = "AtLeastOnce"
M.AT_MOST_ONCE = "AtMostOnce"
local MODES = { M.AT_LEAST_ONCE, M.AT_MOST_ONCE }

local function is_text_or_nothing(value)
  return value == nil or type(value) == "string"
end

-- Every waiter reads it at each change, so only what is wrong is given a path.
local function history_of(status)
  local list = list_at(status, "history", "status.")
  for i = 1, #list do
    local entry = list[i]
    if type(entry.version) ~= "string" or not is_text_or_nothing(entry.executor)
      or not is_text_or_nothing(entry.executedAt) then
      local path = ("status.history[%d]."):format(i)
      if type(entry.version) ~= "string" then
        wrong(path .. "version", "a string", entry.version)
      end
      string_at(entry, "executor", path)
      string_at(entry, "executedAt", path)
    end
  end
  return list
end

local function tried_of(status)
  local list = list_at(status, "tried", "status.")
  for i = 1, #list do
    local path = ("status.tried[%d]."):format(i)
    if string_at(list[i], "version", path) == nil then
      wrong(path .. "version", "a string", nil)
    end
    integer_at(list[i], "attempts", path, nil, 0)
    integer_at(list[i], "exitCode", path, nil, 0)
    string_at(list[i], "lastError", path)
  end
  return list
end

local function read_once(spec, status)
  local v = {
    spec = {
      keep_ms = duration_at(spec, "ttl", "spec."),
      version = string_at(spec, "version", "spec."),
      mode = word_at(spec, "mode", "spec.", M.AT_LEAST_ONCE, MODES),
      max_attempts = integer_at(spec, "maxAttempts", "spec.", nil, 1),
      backoff_ms = duration_at(spec, "backoff", "spec.", 0),
    },
    executed = boolean_at(status, "executed", "status.", false),
    executor = string_at(status, "executor", "status.", ""),
    executed_at = string_at(status, "executedAt", "status."),
    version = string_at(status, "version", "status.", spec.version or ""),
    history = history_of(status),
    tried = tried_of(status),
    attempts = integer_at(status, "attempts", "status.", 0, 0),
    backoff_ms = integer_at(status, "backoffMs", "status.", 0, 0),
    exit_code = integer_at(status, "exitCode", "status.", nil, 0),
    last_error = string_at(status, "lastError", "status."),
  }
  claim_into(v, status)
  v.claimed = not v.executed and (v.session ~= "" or (v.bound == "time" and v.executor ~= ""))
  if v.claimed and not v.ttl_ms then
    wrong("status.ttlMs", "the time to live of the claim", status.ttlMs)
  end
  v.doubt = v.claimed and M.condition(list_at(status, "conditions", "status."), "Unknown") == "True"
  return v
end

--- The checked view of a Once.
---@param rec konductor.Record
---@return konductor.OnceView? view
---@return string? code      "corrupt"
---@return string? sentence
function M.once(rec)
  return view(rec, read_once)
end

-- Writers -----------------------------------------------------------------------------

--- A copy one level deep: fields nobody here knows are kept, tables inside are shared.
---@param status table?
---@return table
function M.copy(status)
  local new = {}
  if status then
    for key, value in pairs(status) do
      new[key] = value
    end
  end
  return new
end

--- What the next status of a holder begins as: a copy that says which version of the spec its writer
--- saw, where the store counts them.
---@param rec konductor.Record
---@return table
function M.successor(rec)
  local new = M.copy(rec.status)
  new.observedGeneration = rec.generation or new.observedGeneration
  return new
end

--- Status word of a condition, or nil.
---@param conditions table[]?
---@param kind string
---@return string?
function M.condition(conditions, kind)
  for _, c in ipairs(conditions or EMPTY) do
    if c.type == kind then
      return c.status
    end
  end
end

--- The conditions with one of them set; the same list when it says so already. The time
--- of the last transition moves only when the status word changes.
---@param conditions table[]?
---@param kind string
---@param status "True"|"False"|"Unknown"
---@param reason string
---@param wall string  RFC 3339
---@param message string?  for people; nil: that of before
---@return table[]
function M.set_condition(conditions, kind, status, reason, wall, message)
  conditions = conditions or EMPTY
  local new, found = {}, nil
  for i, c in ipairs(conditions) do
    if c.type == kind then
      if c.status == status and c.reason == reason and (message == nil or c.message == message) then
        return conditions
      end
      found = M.copy(c)
      found.lastTransitionTime = c.status ~= status and wall or c.lastTransitionTime
      found.status, found.reason, found.message = status, reason, message or c.message
    end
    new[i] = c.type == kind and found or c
  end
  if not found then
    new[#new + 1] = { type = kind, status = status, reason = reason, message = message, lastTransitionTime = wall }
  end
  return new
end

-- Days since March 1st of the year 0 in a calendar whose years begin in March, so that a
-- leap day is the last of its year; date_of() is the inverse.
local function days_of(year, month, day)
  local y = month <= 2 and year - 1 or year
  local m = (month + 9) % 12
  return 365 * y + floor(y / 4) - floor(y / 100) + floor(y / 400) + floor((153 * m + 2) / 5) + day - 1
end

local function date_of(days)
  local era = floor(days / 146097)
  local doe = days - era * 146097
  local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))
  local mp = floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  return yoe + era * 400 + (month <= 2 and 1 or 0), month, doy - floor((153 * mp + 2) / 5) + 1
end

--- A wall time some milliseconds later, for people; nil when the text is no UTC time.
---@param wall string  RFC 3339 in UTC
---@param ms integer
---@return string?
function M.later(wall, ms)
  local year, month, day, h, m, s, fraction = wall:match("^(%d%d%d%d)%-(%d%d)%-(%d%d)T(%d%d):(%d%d):(%d%d)%.?(%d*)Z$")
  if not year then
    return nil
  end
  local us = tonumber((fraction .. "000000"):sub(1, 6)) + ms * 1000
  local seconds = days_of(tonumber(year), tonumber(month), tonumber(day)) * 86400
    + tonumber(h) * 3600 + tonumber(m) * 60 + tonumber(s) + floor(us / 1000000)
  local y, mo, d = date_of(floor(seconds / 86400))
  local rest = seconds % 86400
  return ("%04d-%02d-%02dT%02d:%02d:%02d.%06dZ"):format(
    y, mo, d, floor(rest / 3600), floor(rest / 60) % 60, rest % 60, us % 1000000)
end

return M
