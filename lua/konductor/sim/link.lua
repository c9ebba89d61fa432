--- The way between a simulated process and the simulated store: latency, lost requests and
--- answers, late and repeated delivery, refusals, stale reads, watches that stall.
---
--- A fault is a closed table that the test or the swarm gives for one call:
---   to_ms, back_ms   how long the request and the answer travel
---   lose             "request" (not applied) or "answer" (applied): the caller learns nothing
---   late_ms          the caller gives up, and the request lands that long afterwards
---   twice            the request is delivered twice; the second answer is the one that arrives
---   code, detail     the store answers with this word and applies nothing
---   stale            a get answers the version before the last write

local store_of = require "konductor.sim.store"

local M = {}

local NONE = {}
--- What each state of a process's link does to every call.
local LINKS = {
  requests = { lose = "request" }, both = { lose = "request" },
  refused = { code = "denied", detail = "the right was taken away" },
}
local READS = { get = true, list = true }

local function plan(sim, process, op)
  sim.calls = sim.calls + 1
  op.n, op.process, op.session, op.t_ms = sim.calls, process.name, process.session, sim:time_ms()
  local fault = sim.fault and sim.fault(op) or NONE
  if LINKS[process.link] then
    fault = LINKS[process.link]
  elseif process.link == "answers" and not fault.lose then
    fault = { lose = "answer" }
  end
  return fault
end

--- Carries one call out for the task that runs; waits for its answer.
---@param process table
---@param op {verb: string, kind: string, name?: string, record?: table, status?: table, by?: string, limit_ms?: integer}
---@param apply fun(store: konductor.sim.Store): any, string?, string?
function M.call(process, op, apply)
  local sim = process.sim
  local fault = plan(sim, process, op)
  local task = sim:suspendable()
  local to_us = (fault.to_ms or sim.latency_ms) * 1000
  local back_us = (fault.back_ms or sim.latency_ms) * 1000
  local unheard = fault.lose or fault.late_ms

  local timeout_ms = op.limit_ms or sim.timeout_ms

  local function arrive()
    local value, code, detail
    if fault.code then
      value, code, detail = nil, fault.code, fault.detail
    else
      value, code, detail = apply(sim.store, fault)
      if fault.twice then
        value, code, detail = apply(sim.store, fault)
      end
    end
    if not unheard then
      sim:after(back_us, process.supervisor, function() sim:wake(task, value, code, detail) end)
    end
  end

  if fault.late_ms then
    sim:after((timeout_ms + fault.late_ms) * 1000, nil, arrive)
  elseif fault.lose ~= "request" then
    sim:after(to_us, nil, arrive)
  end
  if unheard then
    local code = READS[op.verb] and "store" or "unknown"
    sim:after(timeout_ms * 1000, process.supervisor, function() sim:wake(task, nil, code, "no answer") end)
  end
  return sim:suspend(task)
end

--- Tells the watches of a commit, each after its own delay.
---@param sim konductor.sim.World
---@param change {verb: string, kind: string, name: string, rev: integer, object?: table}
function M.announce(sim, change)
  for i = 1, #sim.watches do
    local watch = sim.watches[i]
    local cut = watch.process.link ~= nil and watch.process.link ~= "requests"
    if watch.kind == change.kind and (not watch.name or watch.name == change.name) and not cut then
      local fault = sim.watch_fault and sim.watch_fault(watch.process.name, change) or NONE
      if not fault.lose then
        local record
        if sim.watch_sends_record and change.object then
          record = sim.store:record(change.object)
        end
        sim:after((fault.delay_ms or sim.latency_ms) * 1000, nil, function()
          if not watch.closed then
            watch.inbox:post { type = "changed", kind = change.kind, name = change.name, record = record }
          end
        end)
      end
    end
  end
end

--- After a partition a watch starts anew: each watcher looks again.
function M.heal(sim, process)
  process.link = nil
  for i = 1, #sim.watches do
    local watch = sim.watches[i]
    if watch.process == process then
      watch.inbox:post { type = "changed", kind = watch.kind, name = watch.name }
    end
  end
end

--- The store verbs of a world, as calls over this link.
function M.verbs(process)
  local sim = process.sim
  local V = {}

  function V.get(kind, name, how)
    local limit_ms = how and how.limit_ms
    return M.call(process, { verb = "get", kind = kind, name = name, limit_ms = limit_ms }, function(store, fault)
      if fault.stale then
        return store:get_stale(kind, name)
      end
      return store:get(kind, name)
    end)
  end

  function V.list(kind)
    return M.call(process, { verb = "list", kind = kind }, function(store) return store:list(kind) end)
  end

  function V.create(kind, name, spec)
    local sent = store_of.copy(spec)
    return M.call(process, { verb = "create", kind = kind, name = name }, function(store)
      return store.kube:create(kind, name, sent)
    end)
  end

  function V.replace(record, status, how)
    local sent = store_of.copy(status)
    local at = { kind = record.kind, name = record.name, uid = record.uid, rev = record.rev }
    local op = { verb = "replace", kind = at.kind, name = at.name, record = at, status = sent, by = how and how.by,
      limit_ms = how and how.limit_ms }
    return M.call(process, op, function(store) return store.kube:replace(at, sent, how) end)
  end

  function V.delete(record)
    local at = { kind = record.kind, name = record.name, uid = record.uid, rev = record.rev }
    return M.call(process, { verb = "delete", kind = at.kind, name = at.name, record = at }, function(store)
      return store:delete(at)
    end)
  end

  function V.watch(inbox, kind, name)
    return sim:subscribe(sim.watches, { process = process, inbox = inbox, kind = kind, name = name })
  end

  return V
end

return M
