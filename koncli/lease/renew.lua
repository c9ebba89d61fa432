--- `koncli lease renew NAME`: makes one's own hold last for another time.

local grant = require "koncli.grant"
local lease = require "konductor.lease"
local options_of = require "koncli.options"
local record = require "konductor.record"
local text = require "konductor.text"
local ttl = require "konductor.ttl"

local M = {
  summary = "Makes a Lease that one has acquired last for another time.",
  names = true,
  environment = { token = true },
  examples = [[
  koncli lease renew db-migration --holder $HOSTNAME     exit code 5: it is lost, stop working;
                                                         1: the store did not answer, try again]],
}

function M.describe(parser)
  options_of.holder(parser)
  options_of.token(parser)
  options_of.ttl(parser, "How long it lasts from now on. Default: as it was acquired.")
end

function M.run(command, options)
  local me
  local rec, sent, sentence = command:change(function(rec)
    local view, code, why = record.lease(rec)
    if not view then
      return nil, code, why
    end
    me = grant.me(command, rec)
    me.ttl_ms = me.ttl_ms or view.ttl_ms -- a status that a person wrote may not say it
    if not lease.held(rec, me) then
      return nil, grant.lost(command, view.holder, view, view.holder == "")
    elseif not view.spec.renewable then
      return nil, "claimed", "it cannot be renewed: its spec says renewable: false"
    end
    local status
    status, code, why = lease.renew(rec, me)
    return status, not status and code or nil, why
  end)
  if not rec then
    return command:fail(sent --[[@as string]], sentence)
  elseif command.world.now() >= ttl.kill_at(sent --[[@as number]], me.ttl_ms) then
    return command:fail("store", "renewed, but its time was over before the store's answer came")
  end
  local asked = lease.asked(rec)
  if asked then
    command:remark(("koncli lease renew: it should be released, to make way for %s"):format(asked))
  end
  return command:answer_change(rec, ("Lease %s renewed by %s, fence %.0f, %s"):format(text.quote(options.name),
    me.holder, me.fence, grant.until_when(rec)))
end

return M
