--- Records as people and programs see them. Pure.

local duration = require "konductor.duration"
local once_change = require "konductor.once_change"
local record = require "konductor.record"
local text = require "konductor.text"
local ttl = require "konductor.ttl"

local floor = math.floor

local M = {}

M.API_VERSION = "konductor.io/v1"

--- The object as the API has it.
---@param rec konductor.Record
---@param namespace string
---@return table
function M.api(rec, namespace)
  return {
    apiVersion = M.API_VERSION,
    kind = rec.kind,
    metadata = {
      name = rec.name,
      namespace = namespace,
      uid = rec.uid,
      resourceVersion = ("%.0f"):format(rec.rev),
      creationTimestamp = rec.created,
    },
    spec = rec.spec,
    status = rec.status,
  }
end

--- The name as kubectl writes it.
---@param rec konductor.Record
---@return string
function M.full_name(rec)
  return ("%s.konductor.io/%s"):format(rec.kind:lower(), rec.name)
end

--- How long ago, in whole seconds; an age is unknown where the store cannot tell it.
---@param age_ms integer?
---@return string
function M.age(age_ms)
  return age_ms and duration.format(floor(age_ms / 1000) * 1000) or "unknown"
end

-- Whether waiters may have taken a hold over by now.
local function lapsed(view)
  return view.age_ms ~= nil and view.ttl_ms ~= nil and view.age_ms >= ttl.takeover_at(0, view.ttl_ms)
end

--- When somebody else may take a hold over that is not renewed; its span where the store cannot tell its age.
---@param view {ttl_ms: integer, age_ms: integer?}
---@return string
function M.remaining(view)
  local at = ttl.takeover_at(0, view.ttl_ms)
  return view.age_ms and duration.format(math.max(at - view.age_ms, 0)) or duration.format(at)
end

-- Once ----------------------------------------------------------------------------------

--- Whether the mark has been kept for as long as was asked, so that it counts no more.
---@param view konductor.OnceView
---@return boolean
function M.is_over(view)
  return view.spec.mode ~= record.AT_MOST_ONCE and ttl.collect_due(view.executed, view.age_ms, view.spec.keep_ms)
end

--- The version that somebody means who names none: what claimants who name none work for,
--- else the one claimed last.
---@param view konductor.OnceView
---@param given? string
---@return string
function M.version_meant(view, given)
  return given or view.spec.version or view.version
end

--- Who executed the version that is meant, or nil.
---@param view konductor.OnceView
---@param given? string
---@return {version: string, executor: string?, executedAt: string?}?
function M.executed(view, given)
  if M.is_over(view) then
    return nil
  end
  return once_change.done(view, M.version_meant(view, given))
end

--- One word for where a Once is.
---@param rec konductor.Record
---@param view konductor.OnceView
---@return "Executed"|"Expired"|"InDoubt"|"Running"|"Lapsed"|"Failed"|"Retrying"|"Pending"
function M.once_state(rec, view)
  if view.executed then
    return M.is_over(view) and "Expired" or "Executed"
  elseif view.claimed then
    local doubt = view.doubt or view.gone and view.spec.mode == record.AT_MOST_ONCE
    return doubt and "InDoubt" or (view.gone or lapsed(view)) and "Lapsed" or "Running"
  end
  local conditions = rec.status.conditions
  if once_change.gave_up(rec) then
    return "Failed"
  elseif record.condition(conditions, "Failed") == "True" then
    return "Retrying"
  end
  return "Pending"
end

--- What a person should do about a Once in this state, with a place for its name.
M.ONCE_NEXT = {
  Failed = "when mended: koncli once reset %s",
  InDoubt = "find out whether it ran: koncli once resolve %s --ran or --not-run",
  Expired = "its time is over: it counts as not executed",
  Lapsed = "the next replica that comes decides",
}

--- Pairs of label and value; those without a value are left out.
local function pairs_of(lines)
  local out = {}
  for _, line in ipairs(lines) do
    if line[2] ~= nil and line[2] ~= "" then
      out[#out + 1] = line
    end
  end
  return out
end

local function claim_text(view, holder)
  if view.doubt or view.gone then
    return ("%s, fence %.0f%s"):format(holder, view.fence, view.gone and ", which is gone" or "")
  end
  return ("%s, fence %.0f, free within %s unless renewed"):format(holder, view.fence, M.remaining(view))
end

--- A Once as pairs of label and value.
---@param rec konductor.Record
---@param view konductor.OnceView
---@return string[][]
function M.once_lines(rec, view)
  local state = M.once_state(rec, view)
  local lines = {
    { "State", state },
    { "Version", view.version },
    { "Executed", view.executed and ("by %s, %s"):format(view.executor, view.executed_at or "time unknown") or nil },
    { "Claimed by", view.claimed and claim_text(view, view.executor) or nil },
    { "Attempts", not view.executed and view.attempts > 0 and ("%d"):format(view.attempts) or nil },
    { "Last error", view.last_error },
    { "Kept for", view.spec.keep_ms and duration.format(view.spec.keep_ms) or nil },
  }
  for i = #view.history, 1, -1 do
    local entry = view.history[i]
    lines[#lines + 1] = { "Before", ("%s by %s, %s"):format(entry.version ~= "" and entry.version or "no version",
      entry.executor or "unknown", entry.executedAt or "time unknown") }
  end
  lines[#lines + 1] = { "Last write", M.age(view.age_ms) .. " ago" }
  lines[#lines + 1] = { "Next", M.ONCE_NEXT[state] and M.ONCE_NEXT[state]:format(rec.name) or nil }
  return pairs_of(lines)
end

M.ONCE_COLUMNS = { "NAME", "STATE", "VERSION", "EXECUTOR", "AGE", "LAST ERROR" }

--- A Once as a row under ONCE_COLUMNS.
---@param rec konductor.Record
---@param view konductor.OnceView
---@return string[]
function M.once_row(rec, view)
  return { rec.name, M.once_state(rec, view), view.version, view.executor, M.age(view.age_ms), view.last_error or "" }
end

-- Lease ---------------------------------------------------------------------------------

--- One word for where a Lease is. Nothing decides by it.
---@param view konductor.LeaseView
---@return "Available"|"Granted"|"Held"|"Expired"
function M.lease_state(view)
  if view.holder == "" then
    return "Available"
  elseif lapsed(view) then
    return "Expired"
  end
  return view.accepted and "Held" or "Granted"
end

--- A Lease as pairs of label and value.
---@param rec konductor.Record
---@param view konductor.LeaseView
---@return string[][]
function M.lease_lines(rec, view)
  local held = view.holder ~= ""
  local lines = {
    { "State", M.lease_state(view) },
    { "Holder", held and claim_text(view, view.holder) or nil },
    { "Priority", held and ("%d"):format(view.prio) or nil },
    { "Acquired", held and type(rec.status.acquired) == "string" and rec.status.acquired or nil },
    { "Renewals", held and ("%.0f"):format(view.renewals) or nil },
    { "TTL", view.spec.ttl_ms and duration.format(view.spec.ttl_ms) or nil },
    { "Waiting", ("%d%s"):format(#view.waiters, view.is_garbled and ", and what is no waiter" or "") },
  }
  for _, waiter in ipairs(view.waiters) do
    lines[#lines + 1] = { "", ("%s, priority %d"):format(waiter.id, waiter.prio) }
  end
  lines[#lines + 1] = { "Last write", M.age(view.age_ms) .. " ago" }
  return pairs_of(lines)
end

M.LEASE_COLUMNS = { "NAME", "STATE", "HOLDER", "FENCE", "WAITING", "TTL", "AGE" }

--- A Lease as a row under LEASE_COLUMNS.
---@param rec konductor.Record
---@param view konductor.LeaseView
---@return string[]
function M.lease_row(rec, view)
  return {
    rec.name, M.lease_state(view), view.holder, ("%.0f"):format(view.fence), ("%d"):format(#view.waiters),
    view.spec.ttl_ms and duration.format(view.spec.ttl_ms) or "", M.age(view.age_ms),
  }
end

-- Text ----------------------------------------------------------------------------------

-- Records may hold anything; a terminal shall not act on it.
local function shown(value)
  return text.clip(value, #value)
end

--- Pairs under each other.
---@param title string
---@param lines string[][]
---@param paint? fun(word: string, filled: string): string  colours a state
---@return string
function M.sheet(title, lines, paint)
  local out = { title }
  for _, line in ipairs(lines) do
    local value = shown(line[2])
    value = paint and line[1] == "State" and paint(value, value) or value
    out[#out + 1] = ("  %-12s%s"):format(line[1], value)
  end
  return table.concat(out, "\n") .. "\n"
end

-- The cells of a line, filled up to the width of their columns; the state stands in the second.
local function fill(row, width, paint)
  local cells = {}
  for i, cell in ipairs(row) do
    local filled = i < #row and cell .. (" "):rep(width[i] - #cell) or cell
    cells[i] = paint and i == 2 and paint(cell, filled) or filled
  end
  return table.concat(cells, "   ")
end

--- Rows under a head, in columns three spaces apart.
---@param head string[]
---@param rows string[][]
---@param paint? fun(word: string, filled: string): string  colours a state
---@return string
function M.grid(head, rows, paint)
  local width, lines = {}, {}
  local all = { head }
  for _, row in ipairs(rows) do
    local cells = {}
    for i, cell in ipairs(row) do
      cells[i] = cell == "" and "-" or shown(cell)
    end
    all[#all + 1] = cells
  end
  for _, row in ipairs(all) do
    for i, cell in ipairs(row) do
      width[i] = math.max(width[i] or 0, #cell)
    end
  end
  for _, row in ipairs(all) do
    lines[#lines + 1] = fill(row, width, paint)
  end
  return table.concat(lines, "\n") .. "\n"
end

return M
