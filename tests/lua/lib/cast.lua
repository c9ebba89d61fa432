--- What every play with replicas asks of its world: who runs now, and what the record says.

local sim = require "konductor.sim.world"

local M = {}

--- A maker of worlds in which these commands can be run.
---@param commands table<string, table>
function M.world_of(commands)
  return function(options)
    options = options or {}
    options.commands = options.commands or commands
    return sim.new(options)
  end
end

--- A driver that reads from a server whose clock is ahead of the one that stamps what is written.
---@param replica fun(w: konductor.World): table
---@param ahead_ms integer
---@return fun(w: konductor.World): table
function M.reads_ahead(replica, ahead_ms)
  return function(w)
    local function get(...)
      local record, code, detail = w.get(...)
      if record then
        record.age_ms = record.age_ms + ahead_ms
      end
      return record, code, detail
    end
    return replica(setmetatable({ get = get }, { __index = w }))
  end
end

--- A maker of replicas: a driver with these options, unless the play says otherwise.
---@param run fun(w: konductor.World, options: table): table
---@param defaults fun(): table
function M.replica_of(run, defaults)
  return function(options)
    local o = defaults()
    for key, value in pairs(options or {}) do
      o[key] = value
    end
    return function(w) return run(w, o) end
  end
end

--- The record that all plays are about.
---@param kind string
function M.stored_of(kind)
  return function(s)
    return (s.store:get(kind, "x"))
  end
end

--- The replica whose work runs now.
function M.running(s)
  local run = s.runs[#s.runs]
  return run and not run.to_us and run.replica or nil
end

function M.until_running(s, name, limit_ms)
  assert(s:run_until(function() return M.running(s) == name end, limit_ms or 60000), name .. " never ran")
end

--- A maker of lines: the first of these replicas works, and the others wait, in this order.
---@param replica fun(): function
function M.line_up_of(replica)
  return function(s, ...)
    local processes = {}
    for i, name in ipairs { ... } do
      processes[i] = s:start(name, replica())
      if i == 1 then
        M.until_running(s, name)
      else
        s:run_for(1000)
      end
    end
    return unpack(processes)
  end
end

--- A fault of one call: of the nth of this verb.
function M.fault_of(verb, nth, fault)
  local n = 0
  return function(op)
    n = n + (op.verb == verb and 1 or 0)
    return op.verb == verb and n == nth and fault or nil
  end
end

--- Whether each has ended or was killed, to be asked again and again.
function M.all_over(processes)
  return function()
    for _, process in ipairs(processes) do
      if not process.done and not process.crashed then
        return false
      end
    end
    return true
  end
end

return M
