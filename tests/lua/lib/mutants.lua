--- Small named changes of the shipped policies, each of which breaks a promise: the simulator must notice every one.
---
--- A mutant names the module, what stands in its source exactly once, and what stands there instead; the script that it is
--- played with; and how many seeds it may take until the oracle finds it. The budget is a few times what it takes today.

local M = {}

M.scripts = {
  lease = 'k.lease "boss" { main = { "serve" } }',
  ["short lease"] = 'k.lease "boss" { ttl = "4s", main = { "serve" } }',
  flow = [[
    k.flow "shop" {
      k.stage "migrate" { run = { "migrate" }, version = "1" },
      k.stage "index" { run = { "index" }, version = "1", after = "migrate" },
      k.main { "serve" },
    }]],
  ["at most once"] = 'k.once "job" { mode = "AtMostOnce", run = { "work" } }',
}

M.list = {
  -- clocks
  { name = "the holder's time has no margin, nor has the waiter's", script = "short lease", module = "ttl", seeds = 600,
    { "return base_ms + floor(ttl_ms * 95 / 100)", "return base_ms + ttl_ms" },
    { "return since_ms + ceil(ttl_ms * 105 / 100)", "return since_ms + ttl_ms" } },
  { name = "the holder counts from the answer", script = "short lease", module = "cas", seeds = 600,
    { '    if new then\n      return "ok", new, t0', '    if new then\n      return "ok", new, w.now()' } },
  { name = "a waiter takes over at first sight", script = "lease", module = "ttl", seeds = 50,
    { "return since_ms + ceil(ttl_ms * 105 / 100)", "return since_ms" } },
  { name = "a once is taken over at first sight", script = "flow", module = "once", seeds = 50,
    { "gone and now or ttl.takeover_at(view.since or now, v.ttl_ms)", "now" } },
  { name = "a renewal is no news to who waits", script = "lease", module = "observe", seeds = 50,
    { " and x.op == y.op", "" } },
  -- compare and swap
  { name = "what was not answered was done", script = "lease", module = "cas", seeds = 50,
    { "    local new, code, detail = w.replace(record, status, options)\n", [[
    local new, code, detail = w.replace(record, status, options)
    if code == "unknown" then
      new = { kind = record.kind, name = record.name, uid = record.uid, rev = record.rev, spec = record.spec,
        status = status }
    end
]] } },
  { name = "writes are blind", script = "lease", module = "cas", seeds = 50,
    { "w.replace(record, status, options)", "w.replace(w.get(record.kind, record.name) or record, status, options)" } },
  { name = "a write is known by what it did, not by its mark", script = "lease", module = "cas", seeds = 50,
    { "return status.op ~= nil and status.op == sent.op", "return status.holder == sent.holder" } },
  { name = "a late event counts", script = "lease", module = "observe", seeds = 200,
    { "  if record.rev <= self.rev then\n    return false\n  end\n", "" } },
  -- the work
  { name = "no child has a deadman", script = "lease", module = "hold", seeds = 50,
    { "armed.env, armed.term_at, armed.kill_at = env, self.term_at, self.kill_at", "armed.env = env" },
    { "self.children[i].child:arm(self.term_at, self.kill_at)", "" } },
  { name = "it lets go before the last descendant is gone", script = "lease", module = "hold", seeds = 50,
    { "while not self.main_over or #self.children > 0 do", "while not self.main_over do" } },
  { name = "who has the name of the holder is the holder", script = "lease", module = "owner", seeds = 50,
    { '  return hold.session ~= "" and hold.session == me.session\n', "  return true\n" } },
  -- numbers
  { name = "the number is always the same", script = "lease", module = "ttl", seeds = 50,
    { "return max(fence, rev) + 1", "return 1" } },
  { name = "the number begins anew after a deletion", script = "lease", module = "ttl", seeds = 600,
    { "return max(fence, rev) + 1", "return fence + 1" } },
  -- once and flow
  { name = "what is claimed counts as done", script = "flow", module = "once_change", seeds = 50,
    { 's.executed, s.phase = false, "Pending"\n  s.executor, s.version',
      's.executed, s.phase = true, "Pending"\n  s.executor, s.version' } },
  { name = "what failed counts as done", script = "flow", module = "once_change", seeds = 50,
    { 's.executor, s.phase, s.executed = "", "Pending", false\n  s.exitCode',
      's.executor, s.phase, s.executed = "", "Pending", true\n  s.exitCode' } },
  { name = "at most once may begin twice", script = "at most once", module = "once_change", seeds = 50,
    { "  if M.at_most_once(v, me) then\n    return 1\n", "  if M.at_most_once(v, me) then\n    return 2\n" } },
  { name = "a stage does not wait for those before it", script = "flow", module = "flow", seeds = 50,
    { 'is_open = is_open and (state == "held" or states[name].state == "done")', "is_open = is_open" } },
}

return M
