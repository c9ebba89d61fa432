--- `koncli status`: all that is coordinated in a namespace, at a glance; with --watch as it changes.

local colour = require "koncli.colour"
local core = require "konductor.core"
local executor = require "koncli.executor"
local exit = require "koncli.exit"
local object = require "koncli.object"
local record = require "konductor.record"
local text = require "konductor.text"

local M = {
  summary = "Shows what is held, by whom and until when, who waits, what failed last, and what to do.",
  names = false,
  examples = [[
  koncli status
  koncli status --watch      follows it; ends with Ctrl-C
  koncli status -o name]],
}

local STDOUT = 1
local KINDS = { "Lease", "Once" }
local CLEAR = "\27[H\27[2J\27[3J"
--- How often the time that is left is told anew on a terminal, and how long news may be missed.
local TICK_MS, ANEW_MS = 1000, 30000

function M.describe(parser)
  parser:flag("-w --watch"):description("Goes on, and shows it again whenever something has changed.")
end

--- All objects, and when they were read; later renderings count their ages on from there.
local function read(command)
  local records = {}
  for _, kind in ipairs(KINDS) do
    local found, word, sentence = command:list_of(kind)
    if not found then
      return nil, word, sentence
    end
    for _, rec in ipairs(found) do
      records[#records + 1] = rec
    end
  end
  return { records = records, at = command.world.now() }
end

local COLUMNS = {
  Lease = { "LEASE", "STATE", "HOLDER", "FENCE", "FREE WITHIN", "WAITING" },
  Once = { "ONCE", "STATE", "VERSION", "EXECUTOR", "FREE WITHIN", "LAST ERROR" },
}

local function aged(rec, passed_ms)
  local copy = record.copy(rec)
  copy.age_ms = rec.age_ms and rec.age_ms + passed_ms
  return copy
end

local ROW = {}

function ROW.Lease(_, rec)
  local view, _, sentence = record.lease(rec)
  if not view then
    return { rec.name, "Damaged", "", "", "", "" }, sentence
  end
  local waiters = {}
  for i, waiter in ipairs(view.waiters) do
    waiters[i] = waiter.id
  end
  local state = object.lease_state(view)
  local within = view.holder ~= "" and object.remaining(view) or ""
  return { rec.name, state, view.holder, ("%.0f"):format(view.fence), within, table.concat(waiters, ", ") },
    state == "Expired" and "its time is over: the next one that comes gets it" or nil
end

function ROW.Once(command, rec)
  local view, _, sentence = record.once(rec)
  if not view then
    return { rec.name, "Damaged", "", "", "", "" }, sentence
  end
  executor.look(command.world, view)
  local state = object.once_state(rec, view)
  local next_step = object.ONCE_NEXT[state]
  return { rec.name, state, view.version, view.executor, view.claimed and object.remaining(view) or "",
    view.last_error or "" }, next_step and next_step:format(rec.name) or nil
end

local function sheet(command, seen, paint)
  local passed_ms = command.world.now() - seen.at
  local parts, advice = {}, {}
  for _, kind in ipairs(KINDS) do
    local rows = {}
    for _, rec in ipairs(seen.records) do
      if rec.kind == kind then
        local row, what = ROW[kind](command, aged(rec, passed_ms))
        rows[#rows + 1] = row
        advice[#advice + 1] = what and ("  %s: %s"):format(rec.name, text.clip(what, 500)) or nil
      end
    end
    parts[#parts + 1] = rows[1] and object.grid(COLUMNS[kind], rows, paint) or nil
  end
  if advice[1] then
    parts[#parts + 1] = "Next\n" .. table.concat(advice, "\n") .. "\n"
  end
  return table.concat(parts, "\n")
end

local function answer(command, seen, paint)
  local output = command.options.output
  if output == "text" then
    if #seen.records == 0 then
      command:remark("nothing is coordinated in namespace " .. command.namespace)
    end
    return #seen.records == 0 and exit.OK or command:answer(sheet(command, seen, paint))
  end
  local items = {}
  for i, rec in ipairs(seen.records) do
    items[i] = output == "name" and object.full_name(rec) .. "\n" or object.api(rec, command.namespace)
  end
  if output == "name" then
    return command:answer(table.concat(items))
  end
  return command:answer_json { apiVersion = "v1", kind = "List", metadata = {}, items = command:json_list(items) }
end

-- Waits until something changed, or the time has come to look by oneself; what came together counts once.
local function await(command, inbox, until_ms)
  local event = inbox:wait(until_ms)
  while event and inbox:wait(command.world.now()) do end
  return event ~= nil
end

local function marks(seen)
  local all = {}
  for i, rec in ipairs(seen.records) do
    all[i] = rec.uid .. ":" .. rec.rev
  end
  return table.concat(all, " ")
end

local function render(command, seen, is_live)
  if not is_live then
    return answer(command, seen, colour.painter())
  end
  local head = ("%s, namespace %s, %s\n\n"):format(command.place, command.namespace, core.wall():sub(1, 19) .. "Z")
  return command:answer(CLEAR .. head .. sheet(command, seen, colour.painter()))
end

-- Shows it again after each change, and on a terminal each second. Failures in passing leave standing what was seen last.
local function follow(command, seen, inbox)
  local is_live = command.options.output == "text" and core.isatty(STDOUT)
  local shown
  while true do
    local now_is = marks(seen)
    if is_live or now_is ~= shown then
      if shown and command.options.output == "text" and not is_live then
        command:answer "\n"
      end
      local code = render(command, seen, is_live)
      if code ~= exit.OK then
        return code
      end
    end
    shown = now_is
    local anew_at = seen.at + ANEW_MS
    local is_news = await(command, inbox, is_live and math.min(command.world.now() + TICK_MS, anew_at) or anew_at)
    if is_news or command.world.now() >= anew_at then
      command.deadline_ms = math.huge
      local fresh, word, sentence = read(command)
      if not fresh then
        return command:fail(word --[[@as string]], sentence)
      end
      seen = fresh
    end
  end
end

function M.run(command, options)
  local inbox
  if options.watch then
    inbox = command.world.inbox()
    for _, kind in ipairs(KINDS) do
      local ok, word, sentence = command.world.watch(inbox, kind)
      if not ok then
        return command:fail(word --[[@as string]], sentence)
      end
    end
  end
  local seen, word, sentence = read(command)
  if not seen then
    return command:fail(word --[[@as string]], sentence)
  elseif options.watch then
    return follow(command, seen, inbox)
  end
  return answer(command, seen, colour.painter())
end

return M
