// Package kube scales Kubernetes workloads through their Scale subresource
// (autoscaling/v1): Deployments, StatefulSets and whatever else has one. It is a
// scaler.Target and decides nothing: it reads sizes, sets absolute numbers of
// replicas, and says truthfully whether that was accepted.
//
// # Names
//
// A group's target_name is one of
//
//	NAMESPACE/RESOURCE/NAME                   shop/deployments/web
//	NAMESPACE/PLURAL.GROUP/NAME               shop/rollouts.argoproj.io/web
//	NAMESPACE/PLURAL.GROUP/VERSION/NAME       shop/rollouts.argoproj.io/v1alpha1/web
//
// where RESOURCE is deployments, statefulsets, replicasets or
// replicationcontrollers. A version that is not given is the one that the API
// server prefers.
//
// # What a size means
//
//	Desired    spec.replicas of the Scale; 0 is a size like any other
//	InService  pods of the Scale's selector that are Ready and not being deleted
//	Pending    pods of it that are neither Ready, finished nor being deleted
//	Min, Max   0 and Config.MaxReplicas: Kubernetes itself sets no bounds
//
// The Scale's own status.replicas counts pods whether or not they are Ready. It
// stands for InService only where pods may not be listed, or the Scale names no
// selector: instances that start then count as in service from the moment they
// exist. What a pod says beyond that, for example that no node has room for it,
// is the LaunchError.
//
// A number that is missing is never zero. The one exception is the API's own: an
// autoscaling/v1 Scale that has a spec without replicas has none, because its
// encoder leaves zeros out.
//
// # Permissions
//
// get and update on the scale subresources of the resources named is all that is
// needed; deploy/kubernetes has the roles. Two more permissions are optional, and
// missing ones are logged, not faults: list on pods (see above) and list on
// horizontalpodautoscalers, without which a competing autoscaler goes unnoticed.
//
// # Several writers
//
// A change is an update of what was just read, under its resourceVersion. When
// the API server answers with a conflict, the object is read anew: with the same
// number of replicas in it the change is made again, with another number somebody
// else is scaling, and the change ends as scaler.ErrBusy.
package kube
