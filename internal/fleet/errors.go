package fleet

import "fmt"

// apiError is an error answer of a simulated service.
type apiError struct {
	Status  int
	Code    string // as AWS Query spells it, for example ValidationError
	Shape   string // as the Smithy model spells it; "": Code
	Message string
}

func (e *apiError) shape() string {
	if e.Shape != "" {
		return e.Shape
	}
	return e.Code
}

// fault returns Sender or Receiver.
func (e *apiError) fault() string {
	if e.Status >= 500 {
		return "Receiver"
	}
	return "Sender"
}

// The error names of CloudWatch differ between its two protocols.

func invalid(format string, args ...any) *apiError {
	return &apiError{Status: 400, Code: "InvalidParameterValue", Shape: "InvalidParameterValueException", Message: fmt.Sprintf(format, args...)}
}

func missingParameter(name string) *apiError {
	return &apiError{Status: 400, Code: "MissingParameter", Shape: "MissingRequiredParameterException", Message: "The parameter " + name + " is required."}
}

// validation returns Auto Scaling's answer to a request that makes no sense.
func validation(format string, args ...any) *apiError {
	return &apiError{Status: 400, Code: "ValidationError", Message: fmt.Sprintf(format, args...)}
}

var (
	errThrottled  = &apiError{Status: 400, Code: "Throttling", Message: "Rate exceeded"}
	errInternal   = &apiError{Status: 500, Code: "InternalFailure", Shape: "InternalServiceFault", Message: "We encountered an internal error. Please try again."}
	errContention = &apiError{Status: 500, Code: "ResourceContention", Message: "You already have a pending update to an Amazon EC2 Auto Scaling resource (for example, an Auto Scaling group, instance, or load balancer)."}
	errInProgress = &apiError{Status: 400, Code: "ScalingActivityInProgress", Message: "The operation can't be performed because there are scaling activities in progress."}
	errInvalid    = validation("You are not allowed to use this combination of parameters.")
	errDenied     = &apiError{Status: 403, Code: "AccessDenied", Message: "User is not authorized to perform this operation."}
)

// apiError returns the answer of a fault that is one.
func (k FaultKind) apiError() *apiError {
	switch k {
	case FaultThrottle:
		return errThrottled
	case FaultInternal:
		return errInternal
	case FaultContention:
		return errContention
	case FaultInProgress:
		return errInProgress
	case FaultInvalid:
		return errInvalid
	case FaultDenied:
		return errDenied
	}
	return nil
}
