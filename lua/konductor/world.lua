--- The world: the one narrow interface through which policies touch anything.
---
--- A policy is a pure decision (`record, now -> action`); the code at its edge
--- (cas, observe, hold, elect, claim, flow) carries actions out and is given a world as
--- its first argument. Two worlds exist: `real.lua` over the C core, and
--- `sim/world.lua`, a deterministic one in memory. Nothing else of the machine is
--- reachable from a policy: tests/lua/seam_spec.lua enforces it.
---
--- Conventions. Times are milliseconds on the replica's boot clock, which counts
--- suspend. Every function that can fail returns its value, or `nil, code, detail` with
--- a code of core/errors.def. Functions marked *waits* suspend the calling task.

local M = {}

--- Every name a world has. A world that lacks one, or a policy that uses another, is
--- a bug that the seam test names.
M.verbs = {
  "now", "wall", "random", "nonce", "holder", "session",
  "inbox", "task", "sleep", "stop",
  "get", "list", "create", "replace", "delete", "watch", "peer",
  "spawn", "log", "event",
}

---@class konductor.Record        one object of a store, opaque to the store
---@field kind string             "Once", "Lease", or a kind of the user's own ([A-Z][A-Za-z0-9]*)
---@field name string             DNS-1123 subdomain, at most 253 bytes
---@field uid string              differs after delete and create
---@field rev integer             version: grows with every write in the store, never goes back
---@field generation? integer     version of the spec alone, where the store counts it
---@field deleting? boolean       it goes as soon as those who asked to be waited for let it go
---@field created string          RFC 3339, for people
---@field age_ms integer          age of the last write by any manager but "queue", by the store's own clock
---@field came_at? number         boot clock: when the event came that the watch had put off; absent: just now
---@field spec table              what was declared; never written by a holder or candidate
---@field status table            what is so; {} right after create
---@field damage? string           of list only: why it cannot be read; then it has neither spec nor status

---@class konductor.Event
---@field type "changed"|"gone"|"stop"|"started"|"failed"|"stopped"|"exit"|"empty"|"done"|string
---@field kind? string            changed: of the object
---@field name? string            changed: of the object
---@field record? konductor.Record changed: the new state where the store sends it; absent means: get() it
---@field session? string         gone: no process of this session lives, its descendants included
---@field child? konductor.Child  started, failed, stopped, exit, empty
---@field code? integer|string    exit: 0-255 exit code, 128+n after signal n. failed: a word
---@field signal? integer         exit: the signal that ended it; stop: the signal that asked
---@field by? "own"|"stopped"|"deadman" exit: who ended it
---@field sure? boolean           empty: the last descendant is certainly gone
---@field ended_us? integer        empty: boot clock in µs at which it went, where that is known
---@field task? konductor.Task    done: the task that ended
---@field ok? boolean             done: false when it raised
---@field value? any              done: first value returned, or the error

---@class konductor.Inbox         a queue of events with at most one waiting task
---@field wait fun(self, until_ms?: number): konductor.Event?, string?  *waits*; event, or nil,"timeout" | nil,"cancelled"
---@field post fun(self, event: konductor.Event)
---@field close fun(self)         ends all subscriptions into it; posting to it later is silently dropped

---@class konductor.Task
---@field cancel fun(self)        ends its current wait, or its next one, with "cancelled", once
---@field id integer

---@class konductor.Subscription
---@field close fun(self)
---@field catch_up? fun(self): boolean  of a watch: the event that was put off comes now; false when there is none

---@class konductor.Child         a supervised command; events arrive in the inbox given to spawn, in the
---order started, (stopped)*, exit, empty; or failed, empty
---@field arm fun(self, term_at?: number, kill_at?: number) moves the deadman; nil disarms
---@field signal fun(self, signal: integer)
---@field stop fun(self, grace_ms: number)  TERM to the whole tree, KILL after the grace

---@class konductor.SpawnSpec
---@field argv string[]
---@field env? table<string,string>  added to the environment of konductor
---@field cwd? string
---@field input? string           given on standard input; default: inherited
---@field capture? boolean        collect stdout into exit event's field `output` (at most 1 MiB)
---@field term_at? number         deadman, see Child.arm
---@field kill_at? number
---@field foreground? boolean     hand over the terminal

---@class konductor.World
---@field holder string           name for people: host name or KONDUCTOR_HOLDER_ID
---@field session string          32 hex digits, new at each start of a process
---@field now fun(): number       boot clock, ms
---@field wall fun(): string      RFC 3339 with microseconds, for people; no decision reads it
---@field random fun(n: integer): integer   0 .. n-1
---@field nonce fun(): string     "session:n", unique to one write
---@field inbox fun(): konductor.Inbox
---@field task fun(inbox: konductor.Inbox?, fn: function, ...): konductor.Task  starts fn as a task of its own; a "done" event goes to inbox
---@field sleep fun(ms: number): boolean?, string?   *waits*; true, or nil,"cancelled"
---@field stop fun(inbox: konductor.Inbox): konductor.Subscription   one "stop" event when this process is asked to stop (at once if it was asked before)
---@field get fun(kind: string, name: string, how?: {limit_ms?: integer}): konductor.Record?, string?, string?   *waits*; latest committed; nil,"absent"
---@field list fun(kind: string): konductor.Record[]?, string?, string?  *waits*; sorted by name
---@field create fun(kind: string, name: string, spec: table): konductor.Record?, string?, string?  *waits*; always unheld; nil,"exists"
---@field replace fun(record: konductor.Record, status: table, how?: {by?: "holder"|"queue"|"gc", first?: string, limit_ms?: integer}): konductor.Record?, string?, string?
---  *waits*; only if uid and rev still match: nil,"conflict" (changed), nil,"absent", nil,"busy" (not applied), nil,"unknown" (may be applied).
---  `first` names the session whose waiter the store should wake before the others, a few milliseconds later; our own
---  session says that nobody is in a hurry to know. A hint that decides nothing.
---  `limit_ms` is the longest wait for the answer, here and in get; nil: the store's own. A wait that is cancelled ends
---  a read with nil,"cancelled" and a write with nil,"unknown","cancelled".
---@field delete fun(record: konductor.Record): boolean?, string?, string?  *waits*; only if uid and rev still match
---@field watch fun(inbox: konductor.Inbox, kind: string, name: string?, how?: {first?: string}): konductor.Subscription?, string?, string?
---  "changed" events for every commit after this call returned; may be merged, late or repeated, rarely lost.
---  `first` names a session: what tells of a hold of another one (by status.session) may come up to a second later,
---  all else comes at once.
---@field peer fun(inbox: konductor.Inbox, session: string): konductor.Subscription?, string?, string?
---  one "gone" event once no process of that session lives; never when the store cannot know
---@field spawn fun(inbox: konductor.Inbox, spec: konductor.SpawnSpec): konductor.Child?, string?, string?
---@field log fun(level: "error"|"warn"|"info"|"debug", text: string, fields: table?)
---@field event fun(name: string, fields: table)  a line of the event log (docs/reference/events.md)

return M
