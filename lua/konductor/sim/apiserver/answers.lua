--- Answers of an API server that carry a Status, worded as kube-apiserver words them:
--- programs read status, reason, code and details; people read the message.

local M = {}

local function failure(code, reason, message, details)
  return {
    status = code,
    body = {
      kind = "Status", apiVersion = "v1", metadata = {}, status = "Failure", message = message, reason = reason,
      details = details, code = code,
    },
  }
end

local function details_of(resource, name, kind)
  return { name = name, group = resource.group, kind = kind or resource.plural }
end

function M.not_found(resource, name)
  return failure(404, "NotFound", ('%s "%s" not found'):format(resource.name, name), details_of(resource, name))
end

function M.no_namespace(name)
  return failure(404, "NotFound", ('namespaces "%s" not found'):format(name), { name = name, kind = "namespaces" })
end

function M.terminating(resource, name, namespace)
  local details = details_of(resource, name)
  details.causes = {
    { reason = "NamespaceTerminating", message = ("namespace %s is being terminated"):format(namespace),
      field = "metadata.namespace" },
  }
  return failure(403, "Forbidden", ('%s "%s" is forbidden: unable to create new content in namespace %s because it is '
    .. "being terminated"):format(resource.name, name, namespace), details)
end

function M.exists(resource, name)
  local message = ('%s "%s" already exists'):format(resource.name, name)
  return failure(409, "AlreadyExists", message, details_of(resource, name))
end

local function conflict(of, resource, name, why, kind)
  return failure(409, "Conflict", ('Operation cannot be fulfilled on %s "%s": %s'):format(of, name, why),
    details_of(resource, name, kind))
end

function M.stale(resource, name)
  return conflict(resource.name, resource, name,
    "the object has been modified; please apply your changes to the latest version and try again")
end

function M.other_uid(resource, namespace, name, wanted, uid)
  local folder = resource.status and resource.group .. "/" .. resource.plural or resource.plural
  return conflict(resource.name, resource, name, ("StorageError: invalid object, Code: 4, Key: /registry/%s/%s/%s, "
    .. "ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: %s, UID in object meta: %s")
    :format(folder, namespace, name, wanted, uid))
end

--- A precondition of a DELETE that does not hold. These two name the kind, not the resource.
function M.delete_uid(resource, name, wanted, uid)
  return conflict(resource.kind .. "." .. resource.group, resource, name, ("the UID in the precondition (%s) does not "
    .. "match the UID in record (%s). The object might have been deleted and then recreated"):format(wanted, uid),
    resource.kind)
end

function M.delete_version(resource, name, wanted, version)
  return conflict(resource.kind .. "." .. resource.group, resource, name, ("the ResourceVersion in the precondition "
    .. "(%s) does not match the ResourceVersion in record (%s). The object might have been modified")
    :format(wanted, version), resource.kind)
end

function M.no_version(resource, name)
  local why = "Invalid value: 0: must be specified for an update"
  local details = details_of(resource, name)
  details.causes = { { reason = "FieldValueInvalid", message = why, field = "metadata.resourceVersion" } }
  return failure(422, "Invalid", ('%s "%s" is invalid: metadata.resourceVersion: %s'):format(resource.name, name, why),
    details)
end

function M.bad_request(message)
  return failure(400, "BadRequest", message)
end

--- Errors that the server has no reason for.
function M.internal(message)
  return failure(500, nil, message)
end

function M.expired(message)
  return failure(410, "Expired", message)
end

local REASONS = {
  [429] = "TooManyRequests", [500] = "InternalError", [502] = "BadGateway", [503] = "ServiceUnavailable",
  [504] = "Timeout",
}

--- What a server in trouble says instead of an answer.
---@param code integer
---@param retry_after? integer  s
function M.trouble(code, retry_after)
  local message = code == 504 and "Timeout: request did not complete within the allotted timeout" or "made by a fault"
  local answer = failure(code, REASONS[code], message, retry_after and { retryAfterSeconds = retry_after })
  if code == 504 then
    answer.body.kind, answer.body.apiVersion = nil, nil -- it leaves them out of this one
  end
  answer.retry_after = retry_after
  return answer
end

function M.deleted(resource, name, uid)
  return {
    status = 200,
    body = {
      kind = "Status", apiVersion = "v1", metadata = {}, status = "Success",
      details = { name = name, group = resource.group, kind = resource.plural, uid = uid },
    },
  }
end

return M
