k create deployment one --image=demo.local/busybox:1 --replicas=0 --port=80 -o yaml
k create deployment two --image=a/one:1 --image=b/two --replicas=0 -o jsonpath='{range .spec.template.spec.containers[*]}{.name} {.image} {.imagePullPolicy}{"\n"}{end}'
k create deployment three --image=x --replicas=0 -o yaml --dry-run=server -- sleep 5
k create job j1 --image=demo.local/busybox:1 --dry-run=server -o yaml -- date
k create cronjob cj --image=demo.local/busybox:1 --schedule='@hourly' --restart=Never -o yaml -- date
k create job j2 --from=cronjob/cj --dry-run=server -o yaml
k create cronjob bad --image=x --schedule='61 * * * *'
k create quota q --hard=pods=5,cpu=1,configmaps=10 --scopes=NotTerminating -o yaml
k create quota q1 --hard=pods=5,cpu=1,memory=1Gi,persistentvolumeclaims=2,services.nodeports=0 -o yaml
k create quota q2 --hard=pods=x
k create quota q3 --hard=foo=1
k create priorityclass $NS-high --value=1000 --description=high -o yaml
k create priorityclass $NS-never --value=5 --preemption-policy=Never -o jsonpath='{.preemptionPolicy} {.globalDefault}{"\n"}'
k create priorityclass $NS-too --value=2000000000
k create priorityclass system-x --value=1
k get priorityclass $NS-high $NS-never
k delete priorityclass $NS-high $NS-never
k create role reader --verb=get,list,watch --resource=pods,deployments.apps,pods/log -o yaml
k create role named --verb=get --resource=configmaps --resource-name=a --resource-name=b -o yaml
k create role bad --verb=get --resource=nosuch
k create rolebinding rb --role=reader --user=jane --group=ops --serviceaccount=$NS:default -o yaml
k create rolebinding rc --clusterrole=view --serviceaccount=$NS:default -o jsonpath='{.roleRef}{.subjects}{"\n"}'
k create clusterrole $NS-cr --verb=get --resource=nodes --non-resource-url=/metrics -o yaml
k create clusterrole $NS-cr --verb=get --non-resource-url='/logs/*' -o yaml
k create clusterrole $NS-ag --aggregation-rule=rbac.example.com/aggregate-to-x=true -o yaml
k create clusterrolebinding $NS-crb --clusterrole=$NS-cr --user=jane -o yaml
k delete clusterrole $NS-cr $NS-ag
k delete clusterrolebinding $NS-crb
k create serviceaccount sa -o yaml
k create secret generic g --from-literal=a=1 --from-literal=b=two -o yaml
printf 'k1=v1\n# comment\nk2=v 2\n' > e.env
k create secret generic ge --from-env-file=e.env -o jsonpath='{.data}{"\n"}'
k create configmap ce --from-env-file=e.env -o jsonpath='{.data}{"\n"}'
k create secret docker-registry dr --docker-server=r.example.com --docker-username=u --docker-password=p --docker-email=e@x -o yaml
openssl req -x509 -newkey rsa:2048 -nodes -keyout t.key -out t.crt -subj /CN=x -days 3650 2>/dev/null
k create secret tls t --cert=t.crt --key=t.key -o jsonpath='{.type}{"\n"}'
k create secret generic typed --type=example.com/x --from-literal=a=b -o jsonpath='{.type}{"\n"}'
k create secret generic badtls --type=kubernetes.io/tls --from-literal=a=b
k create secret generic badauth --type=kubernetes.io/basic-auth --from-literal=a=b
k create secret generic badssh --type=kubernetes.io/ssh-auth --from-literal=a=b
k create secret generic badsa --type=kubernetes.io/service-account-token --from-literal=a=b
k get secret
k create service clusterip c --tcp=80:8080 --tcp=443 -o yaml
k create service clusterip headless --clusterip=None -o yaml
k create service nodeport n --tcp=80 --node-port=31999 -o yaml
k create service nodeport n2 --tcp=80 --node-port=31999
k create service nodeport n3 --tcp=80 --node-port=80
k create service loadbalancer lb --tcp=80 -o jsonpath='{.spec.type} {.spec.allocateLoadBalancerNodePorts} {.spec.externalTrafficPolicy} {.status}{"\n"}'
k create service externalname en --external-name=example.com -o yaml
k create service externalname en2 --external-name=-bad-
k get svc
k get svc -o wide
k create poddisruptionbudget p1 --selector=app=x --min-available=50% -o yaml
k create pdb p2 --selector=app=x --max-unavailable=1 -o yaml
k create pdb p3 --selector=app=x --min-available=150%
k get pdb
k create ingress i --class=nginx --rule='a.example.com/path*=svc:8080' --rule='b.example.com/=svc:http,tls=sec' --default-backend=d:80 -o yaml
k get ingress
k create token default --duration=5m -o jsonpath={.spec.expirationSeconds}
k create token nothing
k create token default --audience=x --bound-object-kind=Pod --bound-object-name=nope
k create namespace Bad
k create namespace $NS
k create ns default -o name
