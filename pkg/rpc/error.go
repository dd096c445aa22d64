package rpc

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// kindCodes is the one place where kinds of error become gRPC codes, and back.
var kindCodes = []struct {
	kind ha.Kind
	code codes.Code
}{
	{ha.Invalid, codes.InvalidArgument},
	{ha.NotFound, codes.NotFound},
	{ha.Conflict, codes.Aborted},
	{ha.NotReady, codes.FailedPrecondition},
	{ha.Unavailable, codes.Unavailable},
	{ha.Denied, codes.PermissionDenied},
	{ha.Internal, codes.Internal},
}

// errorDomain marks errors that a coordinator answered with, as opposed to those gRPC
// itself makes of a broken connection: both know the code Unavailable.
const errorDomain = "psw-ha"

// statusError is err as the server sends it: code and text, and the kind in an ErrorInfo.
func statusError(err error) error {
	var classified *ha.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &classified): // even if a deadline or a broken stream is behind it
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, err.Error())
	default:
		if _, ok := status.FromError(err); ok { // gRPC's own, of a broken stream
			return err
		}
	}
	kind, code := ha.Internal, codes.Internal
	for _, k := range kindCodes {
		if k.kind == ha.KindOf(err) {
			kind, code = k.kind, k.code
		}
	}
	st := status.New(code, valid(err.Error()))
	detailed, detailErr := st.WithDetails(&errdetails.ErrorInfo{Reason: strings.ToUpper(string(kind)), Domain: errorDomain})
	if detailErr != nil {
		return st.Err()
	}
	return detailed.Err()
}

// answered returns the error that the other end answered with, its kind as it was there.
// ok is false if err comes from the connection instead.
func answered(err error) (_ error, ok bool) {
	st, isStatus := status.FromError(err)
	if !isStatus {
		return nil, false
	}
	for _, d := range st.Details() {
		if info, isInfo := d.(*errdetails.ErrorInfo); isInfo && info.GetDomain() == errorDomain {
			return ha.Errorf(ha.Kind(strings.ToLower(info.GetReason())), "%s", st.Message()), true
		}
	}
	return nil, false
}

// transportReason is what gRPC says of a connection that failed, without its own wrapping.
func transportReason(err error) string {
	reason := status.Convert(err).Message()
	for _, wrapping := range []string{"last connection error: ", "connection error: ", "desc = ", "transport: "} {
		if k := strings.LastIndex(reason, wrapping); k >= 0 {
			reason = reason[k+len(wrapping):]
		}
	}
	reason = strings.Trim(reason, `"`)
	if strings.Contains(reason, "remote error: tls:") {
		reason += " (it refuses our certificate: was that issued by its CA, and has it expired?)"
	}
	return reason
}
