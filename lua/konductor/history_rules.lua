--- The rules of history.lua: each a function over an indexed history that reports what
--- breaks one promise. docs/reference/events.md lists them for people, by the same names.
---
---   L1 one runner a Lease        O1 done means that a run exited 0
---   L2 fences grow               O2 one runner a Once, whatever the version
---   L3 free only what stands     O3 no run after done
---   L4 only the holder writes    O4 at most one start of at-most-once work
---   F1 skip after success        H1 run only what is held
---   F2 main after its stages     H2 every start has its end
---   F3 stages in order           H3 no line is missing

local DELETES = { delete = true }
local FORGETS = { collect = true, reset = true, delete = true }
local FREES = { release = true, grant = true, complete = true, fail = true }
local OWNED = { accept = true, renew = true, release = true, complete = true, fail = true }

-- Of a kind of a user's own nothing is known but how many may run at once, if the caller says so.
local EXCLUSIVE = { Lease = true, Once = true }

--- Is there such an event of the object between these times? One whose time is not known exactly has an end, too.
local function is_told(ctx, object, names, from_us, to_us)
  for _, index in ipairs(object.indexes) do
    local event = ctx.events[index]
    if names[event.event] and (event.until_us or event.t_us) >= from_us and event.t_us <= to_us + ctx.slack_us then
      return true
    end
  end
  return false
end

--- Was the object deleted by hand between the grants of two runs? Who holds it learns that late when it is cut off, and
--- a new object knows nothing of it: then only the fence protects. Two runs on one object are never excused.
local function is_deleted(ctx, object, a, b)
  local since_us, start_us = math.min(a.since_us, b.since_us), math.max(a.start_us, b.start_us)
  local same = a.uid and a.uid == b.uid
  return not same and is_told(ctx, object, DELETES, since_us, start_us)
end

--- Two runners at once, found by comparing each run with the one before it that ends last.
local function no_overlap(ctx)
  for _, object in ipairs(ctx.objects) do
    local longest
    for _, run in ipairs(EXCLUSIVE[object.kind] and object.runs or {}) do
      local stop_us = longest and (longest.end_us or math.huge)
      if longest and stop_us - ctx.tolerance_us > run.start_us
          and not is_deleted(ctx, object, longest, run) then
        ctx.violate(object.kind == "Lease" and "L1" or "O2", run.start_us, { longest.start, run.start, longest.stop },
          "%s (fence %d) started on %s at %s while %s (fence %d) ran there %s", run.holder, run.fence, object.key,
          ctx.clock(run.start_us), longest.holder, longest.fence,
          longest.end_us and "until " .. ctx.clock(longest.end_us) or "without an end")
      end
      if not longest or stop_us < (run.end_us or math.huge) then
        longest = run
      end
    end
  end
end

local function no_crowd(ctx)
  for _, object in ipairs(ctx.objects) do
    local limit = (ctx.opts.capacity or {})[object.key]
    local running = {}
    for _, run in ipairs(limit and object.runs or {}) do
      local still = { run }
      for _, other in ipairs(running) do
        if (other.end_us or math.huge) - ctx.tolerance_us > run.start_us then
          still[#still + 1] = other
        end
      end
      running = still
      if #running > limit then
        ctx.violate("L1", run.start_us, { run.start }, "%s (fence %d) started on %s at %s as number %d; at most %d may "
          .. "run at once", run.holder, run.fence, object.key, ctx.clock(run.start_us), #running, limit)
      end
    end
  end
end

--- Events of one object that carry a revision, in the order of the store. One write may have two
--- lines: a hand-over is the release of the old fence and the grant of the new one.
local function by_revision(ctx, object)
  local list = {}
  for _, index in ipairs(object.indexes) do
    local event = ctx.events[index]
    if event.rev and event.fence then
      list[#list + 1] = { index = index, event = event }
    end
  end
  table.sort(list, function(a, b)
    if a.event.rev ~= b.event.rev then
      return a.event.rev < b.event.rev
    end
    if a.event.fence ~= b.event.fence then
      return a.event.fence < b.event.fence
    end
    return a.index < b.index
  end)
  return list
end

local function grantee(event)
  if event.event == "grant" then
    return event.to
  end
  return event.session
end

--- Walks through the writes of one object. `last` is the grant in force.
local function check_writes(ctx, object)
  local last
  for _, each in ipairs(by_revision(ctx, object)) do
    local event = each.event
    local name, fence = event.event, event.fence
    local is_new = name == "claim" or name == "grant"
    if name == "accept" and (not last or fence ~= last.event.fence) then
      is_new = true -- its granter was killed before it wrote the line, or the grantee took a new fence
    end
    if is_new then
      if last and fence <= last.event.fence then
        ctx.violate("L2", event.t_us, { last.index, each.index },
          "%s of %s at revision %d has fence %d, not above fence %d at revision %d", name, object.key, event.rev,
          fence, last.event.fence, last.event.rev)
      end
      if not last or fence > last.event.fence then
        last = each
      end
    elseif OWNED[name] and EXCLUSIVE[object.kind] and last and (fence < last.event.fence
        or fence == last.event.fence and event.session ~= grantee(last.event)) then
      ctx.violate("L4", event.t_us, { last.index, each.index },
        "%s of %s at revision %d by %s under fence %d, but fence %d was granted at revision %d", name, object.key,
        event.rev, event.holder or event.session, fence, last.event.fence, last.event.rev)
    end
  end
end

local function writes_in_order(ctx)
  for _, object in ipairs(ctx.objects) do
    check_writes(ctx, object)
  end
end

--- A hold is given up only when nothing of it runs any more.
local function free_after_stop(ctx)
  for _, object in ipairs(ctx.objects) do
    for _, index in ipairs(object.indexes) do
      local event = ctx.events[index]
      if FREES[event.event] then
        for _, run in ipairs(object.runs) do
          if run.session == event.session and run.start < index and (not run.stop or run.stop > index) then
            ctx.violate("L3", event.t_us, { run.start, index, run.stop },
              "%s of %s by %s at %s, while its run under fence %d had not stopped", event.event, object.key,
              run.holder, ctx.clock(event.t_us), run.fence)
          end
        end
      end
    end
  end
end

--- The run that a completion records.
local function run_of(object, index, event)
  for _, run in ipairs(object.runs) do
    if run.session == event.session and run.fence == event.fence and run.code == 0 and run.stop < index
        and run.version == (event.version or "") then
      return run
    end
  end
end

local function complete_after_success(ctx)
  for _, object in ipairs(ctx.objects) do
    for _, index in ipairs(object.indexes) do
      local event = ctx.events[index]
      if event.event == "complete" then
        if not run_of(object, index, event) then
          ctx.violate("O1", event.t_us, { index }, '%s version "%s" was recorded as done under fence %d, but no run '
            .. "under it exited 0 before", object.key, event.version or "", event.fence)
        end
      end
    end
  end
end

local function no_run_after_done(ctx)
  for _, object in ipairs(ctx.objects) do
    for _, index in ipairs(object.indexes) do
      local done = ctx.events[index]
      if done.event == "complete" then
        -- Its line may be late; what forgets the record comes after the work, and before the next.
        local recorded = run_of(object, index, done)
        local done_us = recorded and recorded.end_us or done.t_us
        for _, run in ipairs(object.runs) do
          if run.version == (done.version or "") and (run.fence > done.fence or run.start > index)
              and not is_told(ctx, object, FORGETS, done_us, run.start_us) then
            ctx.violate("O3", run.start_us, { index, run.start },
              '%s started %s version "%s" under fence %d, although it was done under fence %d', run.holder, object.key,
              run.version, run.fence, done.fence)
          end
        end
      end
    end
  end
end

local function one_start_at_most(ctx)
  for _, object in ipairs(ctx.objects) do
    local first = {}
    for _, run in ipairs(object.at_most_once and object.runs or {}) do
      local before = first[run.version]
      if before and not run.failed and not is_told(ctx, object, FORGETS, before.since_us, run.start_us) then
        ctx.violate("O4", run.start_us, { before.start, run.start },
          'at-most-once %s version "%s" was started under fence %d and again under fence %d', object.key, run.version,
          before.fence, run.fence)
      elseif not run.failed then
        first[run.version] = run
      end
    end
  end
end

local function is_recorded(ctx, object, run)
  for _, index in ipairs(object.indexes) do
    local event = ctx.events[index]
    local told = event.event == "complete" or event.event == "unconfirmed"
    if told and event.session == run.session and event.fence == run.fence then
      return true
    end
  end
  -- Killed after the write and before its line: the write may well stand.
  return ctx.dead[run.session] ~= nil
end

--- Can this version have been done at this time? A run of it must have exited 0 before, and have
--- been recorded. The line of the record itself may come later than a waiter's that saw it.
--- No version: the record names it, so that of any run will do.
local function may_be_done(ctx, kind, name, version, t_us)
  local object = ctx.object[kind .. "/" .. name]
  local seen = false
  for _, run in ipairs(object and object.runs or {}) do
    if run.version == (version or run.version) then
      seen = true
      if run.code == 0 and ctx.events[run.stop].t_us <= t_us and is_recorded(ctx, object, run) then
        return true
      end
    end
  end
  return not seen and ctx.opts.partial == true
end

local function skip_after_success(ctx)
  for index, event in ipairs(ctx.events) do
    if event.event == "skip" and not may_be_done(ctx, event.kind, event.name, event.version or "", event.t_us) then
      ctx.violate("F1", event.t_us, { index }, '%s went on past %s/%s version "%s" at %s, before a run of it had '
        .. "succeeded", event.holder or event.session, event.kind, event.name, event.version or "",
        ctx.clock(event.t_us))
    end
  end
end

local function main_after_stages(ctx)
  for index, event in ipairs(ctx.events) do
    if event.event == "main" and event.phase ~= "stop" and event.flow then
      for _, stage in ipairs((ctx.flows[event.session] or {})[event.flow] or {}) do
        if not may_be_done(ctx, "Once", stage.object, stage.version, event.t_us) then
          ctx.violate("F2", event.t_us, { index }, 'main of flow "%s" started at %s on %s before stage "%s" was done',
            event.flow, ctx.clock(event.t_us), event.holder or event.session, stage.stage or stage.object)
        end
      end
    end
  end
end

local function check_upstreams(ctx, flow, stages, session, object, run)
  for _, stage in ipairs(stages) do
    if stage.object == object.name then
      for _, upstream in ipairs(stages) do
        for _, name in ipairs(stage.after or {}) do
          if upstream.stage == name
              and not may_be_done(ctx, "Once", upstream.object, upstream.version, run.start_us) then
            ctx.violate("F3", run.start_us, { run.start }, 'stage "%s" of flow "%s" started at %s on %s before stage '
              .. '"%s" was done', stage.stage, flow, ctx.clock(run.start_us), run.holder or session, name)
          end
        end
      end
    end
  end
end

local function stages_in_order(ctx)
  for _, object in ipairs(ctx.objects) do
    for _, run in ipairs(object.kind == "Once" and object.runs or {}) do
      for flow, stages in pairs(ctx.flows[run.session] or {}) do
        check_upstreams(ctx, flow, stages, run.session, object, run)
      end
    end
  end
end

--- Nothing starts but under a fence that its own session claimed or accepted before.
local function start_under_hold(ctx)
  for _, object in ipairs(ctx.objects) do
    local held = {}
    for _, index in ipairs(object.indexes) do
      local event = ctx.events[index]
      if event.event == "claim" or event.event == "accept" then
        held[event.session .. ":" .. event.fence] = true
      elseif event.event == "start" and not held[event.session .. ":" .. event.fence] then
        ctx.violate("H1", event.t_us, { index }, "%s started on %s under fence %d, which it had neither claimed nor "
          .. "accepted", event.holder or event.session, object.key, event.fence)
      end
    end
  end
end

local function every_start_ends(ctx)
  for _, object in ipairs(ctx.objects) do
    for _, run in ipairs(object.runs) do
      if not run.end_us and not ctx.opts.open then
        ctx.violate("H2", run.start_us, { run.start },
          "%s started on %s under fence %d at %s; there is no stop, and nobody killed it", run.holder, object.key,
          run.fence, ctx.clock(run.start_us))
      end
    end
  end
  for _, index in ipairs(ctx.stray) do
    local event = ctx.events[index]
    ctx.violate("H2", event.t_us, { index }, "%s stopped on %s/%s under fence %d, but never started",
      event.holder or event.session, event.kind, event.name, event.fence)
  end
end

local function no_line_missing(ctx)
  local last = {}
  for index, event in ipairs(ctx.events) do
    if event.session and event.seq then
      local before = last[event.session]
      if before and event.seq ~= ctx.events[before].seq + 1 then
        ctx.violate("H3", event.t_us, { before, index }, "the log of %s goes from line %d to line %d",
          event.holder or event.session, ctx.events[before].seq, event.seq)
      elseif not before and event.seq > 1 then
        ctx.violate("H3", event.t_us, { index }, "the log of %s begins with line %d", event.holder or event.session,
          event.seq)
      end
      last[event.session] = index
    end
  end
end

return {
  no_overlap, no_crowd, writes_in_order, free_after_stop, complete_after_success, no_run_after_done, one_start_at_most,
  skip_after_success, main_after_stages, stages_in_order, start_under_hold, every_start_ends, no_line_missing,
}
