--- The kinds of konductor.io/v1: what `konductor crds` prints and deploy/crds.yaml holds. Pure.
---
--- The schemas describe every field that the policies write (lease.lua, once_change.lua). In
--- a spec an unknown field is a mistake of whoever wrote it; a status keeps unknown fields,
--- so that an older definition does not lose what a newer konductor needs.
---
--- The rules refuse only what no policy ever writes: a status that contradicts itself and a
--- fence that goes back. Persons with kubectl and broken programs meet them, never a policy.
--- tests/e2e/kube/test_crds.py tries every rule on a real API server, and every transition.

local schema = require "konductor.kube.schema"

local M = {}

M.GROUP = "konductor.io"
M.VERSION = "v1"

--- What stands above them in YAML.
M.HEAD = "# The kinds of konductor.io/v1, as `konductor crds` prints them: konductor crds | kubectl apply -f -\n"

local HISTORY_MAX = 32
local QUEUE_MAX = 1000
local HOLDER_MAX = 253
local MARK_MAX = 128

local VERSION_TEXT = [[^[!-~]*$]]

-- Status of both ------------------------------------------------------------------------

local function claim_fields()
  return {
    session = schema.text(MARK_MAX, "The process that holds it: new with each start of konductor, empty when nobody "
      .. "holds it or when the hold is bound to time."),
    bound = schema.enum({ "process", "time" }, "What the hold lives with: the process of its holder, or only its time "
      .. "(one-shot commands, which end before their hold)."),
    fence = schema.integer(0, nil, "The fencing number (KONDUCTOR_TOKEN). It grows with every grant and never goes "
      .. "back, so a resource that refuses smaller numbers than it has seen is safe from a holder that came "
      .. "back too late."),
    ttlMs = schema.integer(1, nil, "Time to live of this hold in milliseconds. Others may take over when nothing of "
      .. "the hold has changed for this time and 5 %, by their own clocks."),
    renewals = schema.integer(0, nil, "How often the hold has been renewed since it was granted."),
    op = schema.text(MARK_MAX, "Mark of the last write that granted, renewed or ended a hold. By it a write whose "
      .. "answer was lost is recognised, and by its change others see that the holder lives."),
    observedGeneration = schema.integer(0, nil, "The metadata.generation of the spec that the last write of a "
      .. "holder saw."),
  }
end

local FENCE_RULE = schema.rule(
  "!has(oldSelf.fence) || (has(self.fence) && self.fence >= oldSelf.fence)",
  "fence never goes back: holders with a greater number may be at work; to start afresh delete the object")

local SESSION_RULE = schema.rule(
  "!has(self.session) || self.session == '' || (has(oldSelf.session) && self.session == oldSelf.session)"
    .. " || (has(self.fence) && self.fence > (has(oldSelf.fence) ? oldSelf.fence : 0))",
  "another session holds it only with a greater fence; koncli takes and gives holds")

-- Lease ---------------------------------------------------------------------------------

local LEASE_SPEC = schema.object("What a hold of this lease is like. Candidates never write it.", {
  ttl = schema.duration("How long a hold lasts without being renewed, as a Go duration such as 15s or 1h30m; at "
    .. "least 3s. Holders renew it after a third of this time, and are stopped before it is over.",
    ">= duration('3s')", "is too short; a lease lasts at least 3s"),
  priority = schema.priority("Priority of candidates that state none; the higher one is served first. Default: 0."),
  renewable = schema.boolean("Whether a holder may renew its hold. If not, its work is stopped when the ttl "
    .. "is over.", true),
  preempt = schema.boolean("Whether a candidate of higher priority may ask a holder of lower priority to make way. "
    .. "Default: false."),
  queueMax = {
    type = "integer", format = "int32", minimum = 0, maximum = QUEUE_MAX,
    description = "How many candidates may stand in the queue; the others watch and join when there is room. "
      .. "Default: 32.",
  },
}, { required = { "ttl" } })

local function lease_status()
  local fields = claim_fields()
  fields.phase = schema.enum({ "Available", "Held", "Expired" }, "Available: nobody holds it. Held: somebody does, "
    .. "or did until its time ran out. Expired: only for people, nothing decides by it.", "Available")
  fields.holder = schema.text(HOLDER_MAX, "Who holds it: a name for people, the host name unless told otherwise. "
    .. "Empty: nobody.")
  fields.acquired = schema.time("When the hold was granted, by its holder's clock. For people.")
  fields.expires = schema.time("When the hold ends unless it is renewed, by its holder's clock. For people: nothing "
    .. "decides by it.")
  fields.accepted = schema.boolean("False between a hand-over and the moment when its grantee confirms it.")
  fields.prio = schema.integer(-schema.MAX_INTEGER, nil, "Priority of the holder.")
  fields.waiters = schema.list(QUEUE_MAX, "The queue: high priority first, then by arrival. The first one gets the "
    .. "lease when its holder releases it.", schema.object("One who waits.", {
      id = schema.text(HOLDER_MAX, "Its name, for people."),
      session = schema.text(MARK_MAX, "Its process."),
      prio = schema.integer(-schema.MAX_INTEGER, nil, "Its priority."),
    }, { required = { "id", "session", "prio" } }))
  fields.preempt = schema.object("A waiter of higher priority that asks the holder to make way.", {
    session = schema.text(MARK_MAX, "Its process."),
    prio = schema.integer(-schema.MAX_INTEGER, nil, "Its priority."),
  }, schema.OPEN)
  fields.conditions = schema.conditions("Ready: the lease has been held, so candidates reach it.")
  return schema.object("Who holds the lease. Written by the policies alone, through the subresource status.", fields, {
    ["x-kubernetes-preserve-unknown-fields"] = true,
    ["x-kubernetes-validations"] = {
      schema.rule("self.phase != 'Held' || (has(self.holder) && self.holder != '')",
        'phase Held needs a holder; to release by hand set phase "Available" and holder "" in one patch'),
      schema.rule("self.phase != 'Available' || !has(self.holder) || self.holder == ''",
        'phase Available contradicts the holder; to release by hand set phase "Available" and holder "" in one patch'),
      FENCE_RULE,
      SESSION_RULE,
      schema.rule("!has(self.holder) || self.holder == '' || (has(oldSelf.holder) && self.holder == oldSelf.holder)"
        .. " || (has(self.fence) && self.fence > (has(oldSelf.fence) ? oldSelf.fence : 0))",
        "another holder needs a greater fence"),
    },
    default = { phase = "Available" },
  })
end

-- Once ----------------------------------------------------------------------------------

local ONCE_SPEC = schema.object("What applies to the work. Claimants never write it.", {
  ttl = schema.duration("How long the record of finished work is kept, counted from its completion, as a Go duration "
    .. "such as 24h. When it is over the work may run again. Default: for ever.",
    "> duration('0s')", "is too short; a record is kept for more than 0s"),
  version = schema.text(128, "The version that claimants work for that name none, for example an image tag. "
    .. "Work is done once per version.", {
      ["x-kubernetes-validations"] = {
        schema.text_rule(("self.matches('%s')"):format(VERSION_TEXT), "has a space or a character that is not "
          .. "printable ASCII"),
      },
    }),
  mode = schema.enum({ "AtLeastOnce", "AtMostOnce" }, "AtLeastOnce: work whose executor vanished runs again. "
    .. "AtMostOnce: work starts at most once; if its executor vanishes, a person must say whether it ran. "
    .. "Default: AtLeastOnce."),
  maxAttempts = {
    type = "integer", format = "int32", minimum = 1, maximum = 2147483647,
    description = "How many runs of a version may be begun before it has failed for good. Default: no limit.",
  },
  backoff = schema.duration("Pause after the first run that failed; it doubles with each further one. Default: none."),
}, {
  ["x-kubernetes-validations"] = {
    schema.rule("!has(self.mode) || self.mode != 'AtMostOnce' || !has(self.ttl)",
      "AtMostOnce work cannot have a ttl: once its record is collected it would run again"),
    schema.rule("!has(self.mode) || self.mode != 'AtMostOnce' || !has(self.maxAttempts) || self.maxAttempts == 1",
      "AtMostOnce work is never tried again, so maxAttempts can only be 1"),
  },
})

-- What it was when it was made stays true: weakened in place, work in doubt would run again.
local MODE_RULE = schema.rule(
  "!has(oldSelf.spec) || !has(oldSelf.spec.mode) || oldSelf.spec.mode != 'AtMostOnce'"
    .. " || (has(self.spec) && has(self.spec.mode) && self.spec.mode == 'AtMostOnce')",
  "spec.mode AtMostOnce cannot be taken back, because work that may have run would run again; delete the "
    .. "object instead")

local function once_status()
  local fields = claim_fields()
  fields.phase = schema.enum({ "Pending", "Executed" }, "Pending: not executed, perhaps being executed. Executed: "
    .. "done for status.version.", "Pending")
  fields.executed = schema.boolean("Whether status.version has been executed.")
  fields.executor = schema.text(HOLDER_MAX, "Who executed it, or who is executing it: a name for people.")
  fields.executedAt = schema.time("When its execution was recorded, by the executor's clock. For people.")
  fields.version = schema.text(128, "The version claimed last; empty for none.")
  fields.history = schema.list(HISTORY_MAX, "Versions executed before, the last one at the end.",
    schema.object("One of them.", {
      version = schema.text(128, "The version; empty for none."),
      executor = schema.text(HOLDER_MAX, "Who executed it."),
      executedAt = schema.time("When its execution was recorded."),
    }, { required = { "version" } }))
  fields.tried = schema.list(HISTORY_MAX, "Versions that were begun and not executed before another was claimed, the "
    .. "last one at the end: what must run at most once is not begun again.",
    schema.object("One of them.", {
      version = schema.text(128, "The version; empty for none."),
      attempts = schema.integer(0, nil, "Runs of it that were begun."),
      exitCode = schema.integer(0, nil, "Exit code of its last run that ended."),
      lastError = schema.text(1024, "Why its last run failed."),
    }, { required = { "version" } }))
  fields.attempts = schema.integer(0, nil, "Runs of this version that were begun.")
  fields.backoffMs = schema.integer(0, nil, "Pause in milliseconds before the next run, after one that failed.")
  fields.exitCode = schema.integer(0, nil, "Exit code of the last run that ended.")
  fields.lastError = schema.text(1024, "Why the last run failed.")
  fields.conditions = schema.conditions("Ready: claimants can work on it or need not. Running: somebody works on it. "
    .. "Failed: the last run failed. Unknown: at-most-once work whose executor is gone.")
  return schema.object("What has been done. Written by the policies alone, through the subresource status.", fields, {
    ["x-kubernetes-preserve-unknown-fields"] = true,
    ["x-kubernetes-validations"] = {
      schema.rule("(has(self.executed) && self.executed) == (self.phase == 'Executed')",
        "executed and phase contradict each other: true goes with Executed, false with Pending; set both in one patch"),
      FENCE_RULE,
      SESSION_RULE,
      schema.rule("(has(self.executed) && self.executed) || !has(self.executor) || self.executor == ''"
        .. " || (has(oldSelf.executor) && self.executor == oldSelf.executor)"
        .. " || (has(self.fence) && self.fence > (has(oldSelf.fence) ? oldSelf.fence : 0))",
        "another executor needs a greater fence; koncli once claim claims by hand"),
    },
    default = { phase = "Pending" },
  })
end

-- Record --------------------------------------------------------------------------------

local RECORD_SPEC = schema.object("Whose record it is.", {
  kind = schema.text(63, "The kind that the policy gave itself, for example Semaphore.", {
    ["x-kubernetes-validations"] = {
      schema.text_rule("self.matches('^[A-Z][A-Za-z0-9]*$')", "is not a kind; a kind is letters and digits, a "
        .. "capital first"),
      schema.rule("self != 'Lease' && self != 'Once'", "Lease and Once are kinds of their own"),
      schema.rule("self == oldSelf", "the kind of a record never changes"),
    },
  }),
  data = schema.object("What the policy was set up with.", nil, schema.OPEN),
}, { required = { "kind" } })

local RECORD_STATUS = schema.object("What the policy keeps. Its fields are its own, but for these.", {
  op = schema.text(MARK_MAX, "Mark of the last write; by it a write whose answer was lost is recognised."),
  fence = { description = "The last fencing number given out.", ["x-kubernetes-preserve-unknown-fields"] = true },
}, schema.OPEN)

local NAME_RULE = schema.rule("self.metadata.name.startsWith(self.spec.kind.lowerAscii() + '.')",
  'the name of a record is its kind in small letters, a "." and the name that the script uses')

-- Definitions ---------------------------------------------------------------------------

local function column(name, kind, path, description, priority)
  return { name = name, type = kind, jsonPath = path, description = description, priority = priority }
end

local AGE = column("Age", "date", ".metadata.creationTimestamp")

--- The kinds, in the order in which they are printed.
M.kinds = {
  {
    kind = "Lease", plural = "leases", short = { "klease" },
    description = "Lease lets one of many hold something for a time that it renews; the others queue. "
      .. "It is leases.konductor.io or klease to kubectl, because lease alone is the kind of coordination.k8s.io.",
    required = { "spec" }, spec = LEASE_SPEC, status = lease_status(),
    columns = {
      column("Phase", "string", ".status.phase"),
      column("Holder", "string", ".status.holder"),
      -- A column of type date shows a time to come as <invalid>.
      column("Expires", "string", ".status.expires", "When the hold ends unless renewed, by its holder's clock"),
      column("Renewals", "integer", ".status.renewals"),
      column("TTL", "string", ".spec.ttl"),
      column("Fence", "integer", ".status.fence", "The fencing number of the last grant", 1),
      column("Priority", "integer", ".spec.priority", "Of candidates that state none", 1),
      AGE,
    },
  },
  {
    kind = "Once", plural = "onces", short = { "konce" },
    description = "Once remembers that work has been done, by whom, and for which versions, and who is at it.",
    spec = ONCE_SPEC, status = once_status(), rules = { MODE_RULE },
    columns = {
      column("Phase", "string", ".status.phase"),
      column("Executed", "boolean", ".status.executed"),
      column("Executor", "string", ".status.executor"),
      column("Version", "string", ".status.version", "The version claimed last"),
      column("TTL", "string", ".spec.ttl", "How long the record is kept"),
      column("Attempts", "integer", ".status.attempts", "Runs of this version that were begun", 1),
      column("Last Error", "string", ".status.lastError", "Why the last run failed", 1),
      AGE,
    },
  },
  {
    kind = "Record", plural = "records", short = { "krecord" },
    description = "Record is what a policy of a user's own keeps (k.policy).",
    required = { "spec" }, spec = RECORD_SPEC, status = RECORD_STATUS, rules = { NAME_RULE },
    columns = {
      column("Kind", "string", ".spec.kind"),
      column("Fence", "integer", ".status.fence", "The last fencing number given out", 1),
      AGE,
    },
  },
}

local function definition(of)
  local root = schema.object(of.description, {
    apiVersion = { type = "string", description = "Group and version: konductor.io/v1." },
    kind = { type = "string", description = ("The kind: %s."):format(of.kind) },
    metadata = { type = "object" },
    spec = of.spec,
    status = of.status,
  }, { required = of.required, ["x-kubernetes-validations"] = of.rules })
  return {
    apiVersion = "apiextensions.k8s.io/v1",
    kind = "CustomResourceDefinition",
    metadata = {
      name = of.plural .. "." .. M.GROUP,
      labels = { ["app.kubernetes.io/name"] = "konductor" },
    },
    spec = {
      group = M.GROUP,
      scope = "Namespaced",
      names = {
        kind = of.kind, listKind = of.kind .. "List", plural = of.plural, singular = of.kind:lower(),
        shortNames = of.short,
        categories = { "konductor" },
      },
      versions = {
        {
          name = M.VERSION, served = true, storage = true, subresources = { status = {} },
          additionalPrinterColumns = of.columns, schema = { openAPIV3Schema = root },
        },
      },
    },
  }
end

--- All CustomResourceDefinitions.
---@return table[]
function M.all()
  local list = {}
  for i, of in ipairs(M.kinds) do
    list[i] = definition(of)
  end
  return list
end

return M
